"""Which process is meant: a pid alone may have been recycled, a pid with its start time and host has not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import psutil

from domcli.errors import ProcessError

START_TOLERANCE = 2.0
"""Seconds by which two readings of one process's start time may differ (clock adjustments)."""


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A process on a host; `start_time` in seconds since 1970, `cwd` is where it was launched."""

    pid: Annotated[int, msgspec.Meta(ge=1)]
    start_time: float
    host: str
    cwd: str
    launched: float = 0.0
    """When the trainer was launched, seconds since 1970."""
    directory: int = 0
    """Inode of the run directory it works on: a copy of that directory has another, and is none of its business."""


def identify(pid: int | None = None) -> ProcessIdentity | None:
    """Return the identity of a process of this machine (default: this one), or None if there is no such process."""
    try:
        process = psutil.Process(pid)
        started = process.create_time()
    except psutil.Error:
        return None
    return ProcessIdentity(
        pid=process.pid, start_time=started, host=socket.gethostname(), cwd=str(Path.cwd()), launched=started
    )


def liveness(identity: ProcessIdentity) -> Literal["alive", "gone", "elsewhere"]:
    """Tell whether exactly this process still runs; `elsewhere` when it belongs to another host and cannot be asked."""
    if identity.host != socket.gethostname():
        return "elsewhere"
    try:
        process = psutil.Process(identity.pid)
        if abs(process.create_time() - identity.start_time) > START_TOLERANCE:
            return "gone"
        return "gone" if process.status() == psutil.STATUS_ZOMBIE else "alive"
    except psutil.Error:
        return "gone"


def signal(identity: ProcessIdentity, number: int) -> bool:
    """Send a signal to exactly this process; return False if it no longer runs or is on another host.

    Raises ProcessError if it belongs to somebody else.
    """
    if liveness(identity) != "alive":
        return False
    try:
        psutil.Process(identity.pid).send_signal(number)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied as error:
        raise ProcessError(f"not allowed to signal process {identity.pid}: it belongs to another user") from error
    return True
