"""Which process is meant: a pid alone may have been recycled, a pid with its start time and host has not."""

from __future__ import annotations

import socket
from pathlib import Path
from signal import Signals
from typing import Annotated, Literal

import msgspec
import psutil

from domcli import files, launchers
from domcli.bounds import Count, Seconds
from domcli.errors import ProcessError
from domcli.launchers import LOCAL

START_TOLERANCE = 2.0
"""Seconds by which two readings of one process's start time may differ (clock adjustments)."""


Liveness = Literal["alive", "gone", "elsewhere"]


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A process on a host; `start_time` in seconds since 1970, `cwd` is where it was launched."""

    pid: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    start_time: Seconds
    host: str
    cwd: str
    launched: Seconds = 0.0
    """When the trainer was launched, seconds since 1970."""
    first_event: Count | None = None
    """Number of the first event that is this trainer's; None where nobody told, and times have to do."""
    directory: int = 0
    """Inode of the run directory it works on: a copy of that directory has another, and is none of its business."""
    ticket: str = ""
    """Id of the ticket for which it was launched."""
    device: str = ""
    """The device it was given: `cpu`, `cuda:2`."""
    birth: str = ""
    """Which boot of the machine and which clock tick of it the process began at; empty where that cannot be told."""
    launcher: str = LOCAL
    """The name of what launched it (see launch.launcher)."""
    exit_code: int | None = None
    """How it ended, where that was seen; a negative number is the signal that ended it."""

    @property
    def folder(self) -> Path:
        """Where it was launched."""
        return files.text_as_path(self.cwd)


def identify(pid: int | None = None) -> ProcessIdentity | None:
    """Return the identity of a process of this machine (default: this one), or None if there is no such process."""
    try:
        process = psutil.Process(pid)
        started = process.create_time()
    except psutil.Error:
        return None
    return ProcessIdentity(
        pid=process.pid,
        start_time=started,
        host=socket.gethostname(),
        cwd=files.path_as_text(Path.cwd()),
        launched=started,
        birth=_birth(process.pid),
    )


def is_here(identity: ProcessIdentity) -> bool:
    """Tell whether the process belongs to this machine."""
    return identity.host == socket.gethostname()


def liveness(identity: ProcessIdentity) -> Liveness:
    """Tell whether exactly this process still runs, as its launcher knows; `elsewhere` when nobody here can tell."""
    if identity.launcher == LOCAL:
        return liveness_here(identity)
    launcher = launchers.find(identity.launcher)
    found: Liveness = "elsewhere" if launcher is None else launcher.alive(identity)
    return found


def liveness_here(identity: ProcessIdentity) -> Liveness:
    """Tell whether exactly this process still runs; `elsewhere` when it belongs to another host and cannot be asked."""
    if not is_here(identity):
        return "elsewhere"
    try:
        process = psutil.Process(identity.pid)
        if not _is_same(identity, process):
            return "gone"
        return "gone" if process.status() == psutil.STATUS_ZOMBIE else "alive"
    except psutil.Error:
        return "gone"


def signal(identity: ProcessIdentity, number: int) -> bool:
    """Send a signal to exactly this process; return False if it no longer runs or is on another host.

    Raises ProcessError if it belongs to somebody else.
    """
    if liveness_here(identity) != "alive":
        return False
    try:
        psutil.Process(identity.pid).send_signal(number)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied as error:
        raise ProcessError(f"not allowed to signal process {identity.pid}: it belongs to another user") from error
    return True


def signal_name(code: int) -> str:
    """Return what killed a process that ended with this exit code, which is below 0."""
    return Signals(-code).name if -code in set(Signals) else f"signal {-code}"


def _is_same(identity: ProcessIdentity, process: psutil.Process) -> bool:
    """Compare births, which are exact and know no clock that is put right; start times where there are none."""
    birth = _birth(identity.pid)
    if identity.birth and birth:
        return identity.birth == birth
    return bool(abs(process.create_time() - identity.start_time) <= START_TOLERANCE)


def _birth(pid: int) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The second field is a name in brackets that may hold anything; the start is the 20th after it.
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{boot}/{ticks}"
