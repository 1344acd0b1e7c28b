"""The launcher of trainers that are processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from domcli import children, files, process
from domcli.errors import ProcessError, StorageError
from domcli.launch import slots
from domcli.launch.placement import Placement, note_trainer
from domcli.launch.rules import Hindered
from domcli.process import Liveness, ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.stream import next_seq
from domcli.ticket import Ticket

TRAINER = children.command("domcli.trainer")
KILL_SECONDS = 10.0
POLL_SECONDS = 0.1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def start(
    run: RunDirectory, placement: Placement, lock: int, command: Sequence[str] = TRAINER
) -> subprocess.Popen[bytes]:
    """Start a trainer in its own session, so that it outlives the terminal, with its output in trainer.log.

    The caller holds the run's lock, which is handed to the trainer, so that there is one at the most, whatever becomes
    of this process. Raises ProcessError if it cannot be started, StorageError if the run directory cannot be written.
    """
    folder = placement.folder or Path.cwd()
    given = [lock, *([] if placement.slot is None else [placement.slot])]
    ticket = ["--ticket", placement.ticket] if placement.ticket else []
    arguments = [str(run.path.absolute()), *placement.arguments(), "--lock", str(lock), *ticket]
    launched = time.time()
    try:
        first, handle = next_seq(run.events), files.open_own(run.log, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or run.log}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "ab") as log, _signals_held_back():
            trainer = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=placement.environment(),
                start_new_session=True,
                pass_fds=given,
            )
    except OSError as error:
        raise ProcessError(f"cannot start the trainer of {run.name}: {error}") from error
    try:
        note_trainer(run, placement, trainer.pid, launched, first)
    except OSError as error:
        trainer.kill()
        trainer.wait()
        raise StorageError(f"cannot write {run.process}: {error.strerror}") from error
    return trainer


def stop(run: RunDirectory) -> ProcessIdentity:
    """Ask the trainer to write a checkpoint and stop, and return which process was asked.

    Raises ProcessError when no trainer of this machine works on the run.
    """
    run.require_own("stop")
    return _signal(run, signal.SIGTERM)


def kill(run: RunDirectory, timeout: float = KILL_SECONDS) -> ProcessIdentity:
    """End the trainer at once and return which it was; what it did since its last checkpoint is lost.

    Raises ProcessError when there is none on this machine, or if it does not end.
    """
    run.require_own("kill")
    with contextlib.suppress(OSError):  # without its ticket it is not launched again for having failed
        run.ticket.unlink()
    identity = _signal(run, signal.SIGKILL)
    if not _gone(identity, timeout):
        raise ProcessError(f"{run.name}: process {identity.pid} does not end; it may be waiting for a disk or driver")
    return identity


def alive(identity: ProcessIdentity) -> Liveness:
    """Tell whether a trainer still runs; `elsewhere` if it belongs to another machine."""
    return process.liveness_here(identity)


def why_it_waits(runs_dir: Path, ticket: Ticket) -> str | None:
    """Return what a run waits for beside those before it: devices that a benchmark keeps for itself."""
    kept = slots.kept_from(runs_dir, ticket)
    return f"a benchmark keeps {' and '.join(kept)} for itself" if kept else None


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Start children with these signals blocked: the trainer lets them in once it can heed them, and none is lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal(run: RunDirectory, number: signal.Signals) -> ProcessIdentity:
    identity = run.read_process()
    if identity is not None and process.liveness_here(identity) == "elsewhere":
        raise ProcessError(f"{run.name} was launched on {identity.host}: stop it there")
    if identity is None or not process.signal(identity, number):
        raise Hindered(read_run(run), "ended")
    return identity


def _gone(identity: ProcessIdentity, timeout: float) -> bool:
    """Wait until the process has ended; return False if it still runs after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while process.liveness_here(identity) == "alive":
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
