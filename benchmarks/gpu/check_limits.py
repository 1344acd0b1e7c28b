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
    began = time.monotonic()
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
        end_marked(mark)
    return Ended(code, time.monotonic() - began)


def end_marked(mark: str) -> None:
    """Kill every process that carries the mark."""
    for _ in range(ROUNDS):
        with _looking:
            found = [process for process in psutil.process_iter() if _is_marked(process, mark)]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def _wait(process: subprocess.Popen[bytes], end: float, stop: threading.Event) -> int | None:
    """Return the exit code, None if it has none when time is over or all are to stop."""
    while not stop.is_set():
        left = end - time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=max(0.0, min(LOOK_SECONDS, left)))
        if left <= 0:
            break
    return None


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):
        return False
