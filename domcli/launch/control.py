"""One trainer process on this machine: start it, ask it to stop, kill it, start it again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from domcli import process
from domcli.errors import ProcessError, StorageError
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import read_run

TRAINER = (sys.executable, "-m", "domcli.trainer")
STOP_SECONDS = 60.0
"""How long a trainer may take to write its checkpoint and stop."""
KILL_SECONDS = 10.0
POLL_SECONDS = 0.1


def start(
    run: RunDirectory, device: str = "auto", *, folder: Path | None = None, command: Sequence[str] = TRAINER
) -> subprocess.Popen[bytes]:
    """Start a trainer in its own session, so that it outlives the terminal, with its output in trainer.log.

    `folder` is where it runs and relative data paths begin (default: here). Raises ProcessError when a trainer already
    works on this run, StorageError when the run directory cannot be written.
    """
    folder = folder or Path.cwd()
    with _launching(run):
        _refuse_second_trainer(run)
        launched = time.time()
        try:
            with run.log.open("ab") as log:
                trainer = subprocess.Popen(
                    [*command, str(run.path.absolute()), "--device", device],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env=_environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise ProcessError(f"cannot start the trainer of {run.name}: {error}") from error
        _record(run, trainer, launched, folder)
    return trainer


def request_stop(run: RunDirectory) -> ProcessIdentity:
    """Ask the trainer to write a checkpoint and stop, and return which process was asked.

    Raises ProcessError when no trainer of this machine works on the run.
    """
    return _signal(run, signal.SIGTERM)


def stop(run: RunDirectory, timeout: float = STOP_SECONDS) -> None:
    """Ask the trainer to stop and wait until it has, at most `timeout` seconds. Raises ProcessError if it has not."""
    wait_stopped(run, request_stop(run), timeout)


def wait_stopped(run: RunDirectory, identity: ProcessIdentity, timeout: float = STOP_SECONDS) -> None:
    """Wait until a trainer that was asked to stop has ended. Raises ProcessError after `timeout` seconds."""
    if not _gone(identity, timeout):
        raise ProcessError(f"{run.name} has not stopped within {timeout:.0f} s; kill it with domcli stop --kill")


def kill(run: RunDirectory, timeout: float = KILL_SECONDS) -> None:
    """End the trainer at once; what it did since its last checkpoint is lost. Raises ProcessError if it cannot."""
    identity = _signal(run, signal.SIGKILL)
    if not _gone(identity, timeout):
        raise ProcessError(f"{run.name}: process {identity.pid} does not end; it may be waiting for a disk or driver")


def resume(run: RunDirectory, device: str = "auto", *, command: Sequence[str] = TRAINER) -> subprocess.Popen[bytes]:
    """Start a trainer that goes on from the last checkpoint, in the folder of the first launch if it is still there.

    Raises ProcessError for a run that is finished or has a trainer.
    """
    run.read_settings()
    if read_run(run).status == "finished":
        raise ProcessError(f"{run.name} is finished: there is nothing left to resume")
    identity = run.read_process()
    folder = Path(identity.cwd) if identity and identity.host == socket.gethostname() else Path.cwd()
    return start(run, device, folder=folder if folder.is_dir() else Path.cwd(), command=command)


@contextlib.contextmanager
def _launching(run: RunDirectory) -> Iterator[None]:
    """Let one launcher at a time look for a running trainer and start its own."""
    try:
        handle = os.open(run.settings, os.O_RDWR)
    except OSError as error:
        raise StorageError(f"cannot write in {run.path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse_second_trainer(run: RunDirectory) -> None:
    identity = run.read_process()
    if identity and process.liveness(identity) == "alive":
        raise ProcessError(f"{run.name} already has a trainer (process {identity.pid}); stop it first")
    if identity and read_run(run).status in ("starting", "running"):
        raise ProcessError(
            f"{run.name} was launched on {identity.host} and may still run there; "
            f"if it does not, delete {run.process} and try again"
        )
    if _locked(run):
        raise ProcessError(f"{run.name} already has a trainer, started by hand or on another machine; stop it first")


def _locked(run: RunDirectory) -> bool:
    """Tell whether a trainer holds the lock (flock: on a shared file system this also sees other machines)."""
    try:
        handle = os.open(run.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _environment() -> dict[str, str]:
    """Return this environment, with unbuffered output."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        # `-m` would put the current folder first, and somebody's random.py there in place of Python's.
        environment["PYTHONSAFEPATH"] = "1"
    return environment


def _record(run: RunDirectory, trainer: subprocess.Popen[bytes], launched: float, folder: Path) -> None:
    here = process.identify(trainer.pid)
    start_time = here.start_time if here else launched
    identity = ProcessIdentity(
        pid=trainer.pid, start_time=start_time, host=socket.gethostname(), cwd=str(folder), launched=launched
    )
    try:
        run.write_process(identity)
    except OSError as error:
        trainer.kill()
        trainer.wait()
        raise StorageError(f"cannot write {run.process}: {error.strerror}") from error


def _signal(run: RunDirectory, number: signal.Signals) -> ProcessIdentity:
    identity = run.read_process()
    if identity is None:
        raise ProcessError(f"{run.name} has not been launched: there is no trainer to stop")
    if process.liveness(identity) == "elsewhere":
        raise ProcessError(f"{run.name} was launched on {identity.host}: stop it there")
    if not process.signal(identity, number):
        raise ProcessError(f"{run.name} has no trainer to stop: it is {read_run(run).status}")
    return identity


def _gone(identity: ProcessIdentity, timeout: float) -> bool:
    """Wait until the process has ended; return False if it still runs after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while process.liveness(identity) == "alive":
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
