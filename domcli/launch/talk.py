"""Processes of domcli's own that report on their stdout, a JSON object a line: begun, listened to, ended.

Whoever waits for one may be interrupted: the first time it is asked to stop, the second time it is killed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from domcli.errors import DomcliError, ProcessError
from domcli.launch.placement import Placement
from domcli.process import signal_name

REFUSED = 2
"""What such a process exits with when it does not begin."""
POLL_SECONDS = 0.2
CHUNK = 1 << 16


class UnfinishedError(DomcliError):
    """What a process was to do failed on its way; what it had found is kept."""

    exit_code = 1


class Interrupts(Protocol):
    """Knows how often the person has asked to end it."""

    @property
    def count(self) -> int:
        """How often, so far."""


@dataclass(frozen=True)
class Ending:
    """How a process ended: its exit code, and the reason that it gave if it refused or failed."""

    code: int
    reason: str | None

    @property
    def signal(self) -> str | None:
        """The name of the signal that killed it."""
        return signal_name(self.code) if self.code < 0 else None


@dataclass(frozen=True)
class Job:
    """A process that is to be begun."""

    what: str
    """What it is, for a sentence: `the benchmark`."""
    command: Sequence[str]
    placement: Placement
    """Its environment, and the slot that it holds as long as it lives."""
    folder: Path | None = None
    """Where it runs; None for the current folder."""


def talk(
    job: Job,
    log: IO[bytes],
    interrupts: Interrupts,
    hear: Callable[[bytes], str | None],
    tell: Callable[[str], None],
) -> Ending:
    """Run a process to its end, or until it is interrupted, which `tell` is told; its stderr goes to the log.

    `hear` takes up each line of it, and returns the reason if that is a refusal. Raises ProcessError if it cannot be
    started.
    """
    process = _begin(job, log)
    reasons: list[str] = []

    def take(line: bytes) -> None:
        reason = hear(line)
        if reason is not None:
            reasons.append(reason)

    try:
        listen(process, interrupts, take, tell)
        return Ending(process.wait(), reasons[-1] if reasons else None)
    finally:
        if process.poll() is None:
            end(process, kill=True)
            process.wait()


def _begin(job: Job, log: IO[bytes]) -> subprocess.Popen[bytes]:
    slot = job.placement.slot
    try:
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=job.folder,
            env=job.placement.environment(),
            # Ctrl-C comes to it through who waits for it alone.
            start_new_session=True,
            # It may outlive that process, as when that is killed.
            pass_fds=[] if slot is None else [slot],
        )
    except OSError as error:
        raise ProcessError(f"cannot start {job.what}: {error.strerror}") from error


def listen(
    process: subprocess.Popen[bytes],
    interrupts: Interrupts,
    take: Callable[[bytes], None],
    tell: Callable[[str], None],
) -> None:
    """Hand each line of the process to `take` until it closes its stdout, and pass interrupts on, which `tell` is told.

    The process leads a session of its own (start_new_session): Ctrl-C comes to it through here alone.
    """
    rest, handled = b"", 0
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector, process.stdout as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            # Read once: the next may come while this one is passed on.
            count = interrupts.count
            if count > handled:
                end(process, kill=count > 1)
                tell("killing it" if count > 1 else "stopping; press Ctrl-C again to kill it")
                handled = count
            if not selector.select(POLL_SECONDS):
                continue
            chunk = os.read(pipe.fileno(), CHUNK)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                take(line)


def end(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    """Ask the process to stop, or kill it with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        if kill:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.send_signal(signal.SIGTERM)
