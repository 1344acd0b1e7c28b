"""One trainer process on this machine: start it, ask it to stop, kill it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from domcli import children, files, locks, process
from domcli.devices import CPU, VISIBLE, Device
from domcli.errors import ProcessError, StorageError
from domcli.launch.rules import Hindered
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.stream import next_seq

TRAINER = children.command("domcli.trainer")
STOP_SECONDS = 60.0
"""How long a trainer may take to write its checkpoint and stop."""
KILL_SECONDS = 10.0
RELEASE_SECONDS = 5.0
"""How long a trainer that is gone may keep its lock."""
POLL_SECONDS = 0.1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Placement:
    """Where and how a trainer is started. `folder` is where it runs and relative data paths begin."""

    device: Device = CPU
    wanted: str = "auto"
    folder: Path | None = None
    threads: int | None = None
    ticket: str = ""
    slot: int | None = None
    """Descriptor of the slot's lock, which the trainer keeps."""

    def arguments(self) -> list[str]:
        """Return the trainer's options: it sees the one GPU it is given, and is told what that is called outside."""
        if self.device.visible is None:
            name = "auto" if self.device == CPU and self.wanted == "auto" else self.device.name
            return ["--device", name]
        return ["--device", "auto" if self.wanted == "auto" else "cuda", "--shown-as", self.device.name]

    def environment(self) -> dict[str, str]:
        """Return the trainer's environment variables: this process's, its device and its threads."""
        environment = children.environment()
        if self.device.visible is not None:
            environment[VISIBLE] = self.device.visible
        if self.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.threads)
        return environment


def start(
    run: RunDirectory, placement: Placement | None = None, *, command: Sequence[str] = TRAINER
) -> subprocess.Popen[bytes]:
    """Start a trainer in its own session, so that it outlives the terminal, with its output in trainer.log.

    The run's lock is taken here and handed to the trainer, so that there is one at the most, whatever becomes of this
    process. Raises ProcessError when a trainer already works on this run, StorageError when the run directory cannot
    be written.
    """
    placement = placement or Placement()
    with sole_access(run) as lock:
        return start_locked(run, lock, placement, command)


def start_locked(run: RunDirectory, lock: int, placement: Placement, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a trainer (see `start`) for a caller that holds the run's lock."""
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
    _record(run, trainer, launched, first, folder, placement)
    return trainer


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


def request_stop(run: RunDirectory) -> ProcessIdentity:
    """Ask the trainer to write a checkpoint and stop, and return which process was asked.

    Raises ProcessError when no trainer of this machine works on the run.
    """
    run.require_own("stop")
    return _signal(run, signal.SIGTERM)


def stop(run: RunDirectory, timeout: float = STOP_SECONDS) -> None:
    """Ask the trainer to stop and wait until it has, at most `timeout` seconds. Raises ProcessError if it has not."""
    wait_stopped(run, request_stop(run), timeout)


def wait_stopped(run: RunDirectory, identity: ProcessIdentity, timeout: float = STOP_SECONDS) -> None:
    """Wait until a trainer that was asked to stop has ended. Raises ProcessError after `timeout` seconds."""
    if not _gone(identity, timeout):
        raise ProcessError(f"{run.name} has not stopped within {timeout:.0f} s; kill it with domcli kill")


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


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Start children with these signals blocked: the trainer lets them in once it can heed them, and none is lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


def _record(
    run: RunDirectory, trainer: subprocess.Popen[bytes], launched: float, first: int, folder: Path, placement: Placement
) -> None:
    here = process.identify(trainer.pid)
    identity = ProcessIdentity(
        pid=trainer.pid,
        start_time=here.start_time if here else launched,
        host=socket.gethostname(),
        cwd=files.path_as_text(folder),
        launched=launched,
        first_event=first,
        ticket=placement.ticket,
        device=placement.device.name,
        birth=here.birth if here else "",
    )
    try:
        run.write_process(identity)
    except OSError as error:
        trainer.kill()
        trainer.wait()
        raise StorageError(f"cannot write {run.process}: {error.strerror}") from error


def record_exit(run: RunDirectory, pid: int, code: int) -> None:
    """Note in process.json how a trainer ended, if it is still the one that is written there."""
    with contextlib.suppress(OSError), files.pinned(run.path):
        identity = run.read_process()
        if identity is not None and identity.pid == pid:
            run.write_process(msgspec.structs.replace(identity, exit_code=code))


def _signal(run: RunDirectory, number: signal.Signals) -> ProcessIdentity:
    identity = run.read_process()
    if identity is not None and process.liveness(identity) == "elsewhere":
        raise ProcessError(f"{run.name} was launched on {identity.host}: stop it there")
    if identity is None or not process.signal(identity, number):
        raise Hindered(read_run(run), "ended")
    return identity


def _gone(identity: ProcessIdentity, timeout: float) -> bool:
    """Wait until the process has ended; return False if it still runs after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while process.liveness(identity) == "alive":
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
