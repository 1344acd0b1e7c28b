"""Who may change what is launched for a run: one at a time, and nobody while a trainer works on it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import msgspec

from domcli import files, locks, process
from domcli.errors import ProcessError
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import read_run

STOP_SECONDS = 60.0
"""How long a trainer may take to write its checkpoint and stop."""
RELEASE_SECONDS = 5.0
"""How long a trainer that is gone may keep its lock."""
POLL_SECONDS = 0.1


@contextlib.contextmanager
def sole_access(run: RunDirectory, patience: float = RELEASE_SECONDS, *, action: str = "launch") -> Iterator[int]:
    """Hold the run's lock while it is launched or its place in the queue is changed; yield the descriptor.

    A trainer that was killed may keep the lock for a moment, until its last thread has gone: `patience` is how many
    seconds to wait for it. Raises ProcessError while a trainer works on the run, here or elsewhere, StorageError if
    nothing can be written, RunDirectoryError if the run is another user's, who alone may do this `action`.
    """
    deadline = time.monotonic() + patience
    with run.pinned(action):
        while (lock := locks.acquire(run.lock)) is None:
            identity = run.read_process()
            ending = identity is not None and process.liveness(identity) == "gone"
            if not ending or time.monotonic() >= deadline:
                raise ProcessError(f"{run.name} already has a trainer{_which(run)}; stop it first")
            time.sleep(POLL_SECONDS)
        try:
            _refuse_elsewhere(run)
            yield lock
        finally:
            os.close(lock)


def wait_stopped(run: RunDirectory, identity: ProcessIdentity, timeout: float = STOP_SECONDS) -> None:
    """Wait until a trainer that was asked to stop has ended. Raises ProcessError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while process.liveness(identity) == "alive":
        if time.monotonic() >= deadline:
            raise ProcessError(f"{run.name} has not stopped within {timeout:.0f} s; kill it with domcli kill")
        time.sleep(POLL_SECONDS)


def record_exit(run: RunDirectory, pid: int, code: int) -> None:
    """Note in process.json how a trainer ended, if it is still the one that is written there."""
    with contextlib.suppress(OSError), files.pinned(run.path):
        identity = run.read_process()
        if identity is not None and identity.pid == pid:
            run.write_process(msgspec.structs.replace(identity, exit_code=code))


def _which(run: RunDirectory) -> str:
    identity = run.read_process()
    if identity is None or process.liveness(identity) == "gone":
        return ", started by hand or on another machine"
    return f" (process {identity.pid}{'' if process.is_here(identity) else f' on {identity.host}'})"


def _refuse_elsewhere(run: RunDirectory) -> None:
    identity = run.read_process()
    if identity and not process.is_here(identity) and read_run(run).status in ("starting", "running"):
        raise ProcessError(
            f"{run.name} was launched on {identity.host} and may still run there; "
            f"if it does not, delete {run.process} and try again"
        )
    if identity and process.liveness(identity) == "alive":
        raise ProcessError(f"{run.name} already has a trainer (process {identity.pid}); stop it first")
