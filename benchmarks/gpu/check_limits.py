"""Programs with a limit of their own: each is a process group, and ends with everything that it has started.

Trainers and supervisors outlive the command that starts them, in sessions of their own. All that a stage starts
carries a mark in its environment, by which it is found when the stage is over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "DOMCLI_GPU_CHECK_STAGE"
LOOK_SECONDS = 0.1
"""How often it is looked whether a program has ended, and whether all are to stop."""
ROUNDS = 20
"""Times that marked processes are looked for and killed, as long as there are any: they may start others meanwhile."""
CLOCK_SECONDS = 1.0
"""By how much the time at which a process was started may be off."""
KERNEL = 2
"""The process whose children are the kernel's own."""
_looking = threading.Lock()


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, None if it was killed before it ended by itself."""

    code: int | None
    seconds: float


def run_limited(
    command: Sequence[str],
    limit: float,
    log: Path,
    environment: Mapping[str, str],
    mark: str,
    stop: threading.Event,
) -> Ended:
    """Run a program for `limit` seconds at the most, or until `stop` is set; its output is added to `log`.

    Nothing that it has started is left afterwards. Raises OSError if it cannot be started.
    """
    began, since = time.monotonic(), time.time() - CLOCK_SECONDS
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, MARK: mark},
            start_new_session=True,
        )
    try:
        code = _wait(process, began + limit, stop)
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        end_marked(mark, since)
    return Ended(code, time.monotonic() - began)


def end_marked(mark: str, since: float) -> None:
    """Kill every process that carries the mark and was started at `since`, in seconds since 1970, or later."""
    for _ in range(ROUNDS):
        with _looking:
            found, unclear = _marked(mark, since)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if found:
            psutil.wait_procs(found, timeout=1)
        elif unclear:
            time.sleep(LOOK_SECONDS / 2)
        else:
            return


def _marked(mark: str, since: float) -> tuple[list[psutil.Process], bool]:
    """Return the processes that carry the mark, and whether there is one that does not show yet what it carries.

    The environment of a process that is about to become another program is empty for a moment.
    """
    found, unclear = [], False
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(MARK) == mark:
                found.append(process)
            elif not environment and process.create_time() >= since and process.ppid() != KERNEL:
                unclear = unclear or process.status() != psutil.STATUS_ZOMBIE
    return found, unclear


def _wait(process: subprocess.Popen[bytes], end: float, stop: threading.Event) -> int | None:
    """Return the exit code, None if it has none when time is over or all are to stop."""
    while not stop.is_set():
        left = end - time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=max(0.0, min(LOOK_SECONDS, left)))
        if left <= 0:
            break
    return None
