"""Follow a trainer from its start to its end: poll the event stream, pass on Ctrl-C, tell how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Literal, Protocol

from domcli.events import Finished, Stopped
from domcli.rundir import RunDirectory
from domcli.runs import Run, RunReader

POLL_SECONDS = 0.2
LOG_TAIL_BYTES = 8192
REFUSED_EXIT = 2
"""What a trainer exits with when it refuses during set-up, before anything is trained."""

Ending = Literal["finished", "stopped", "failed", "refused", "killed", "crashed"]


@dataclass(frozen=True)
class Outcome:
    """How a launch ended. `reason` is a sentence, or None where nothing went wrong."""

    ending: Ending
    run: Run
    reason: str | None = None


class View(AbstractContextManager["View"], Protocol):
    """Shows a run while it is followed."""

    def update(self, run: Run) -> None:
        """Show the run as it is now."""

    def say(self, text: str) -> None:
        """Tell the person something."""


class Interrupts:
    """While entered, Ctrl-C (SIGINT) and SIGTERM are counted instead of ending this process."""

    def __init__(self) -> None:
        self.count = 0
        self.terminated = False
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell starts background jobs with SIGINT ignored; that is to stay so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.terminated = self.terminated or number == signal.SIGTERM

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ended by this signal."""
        return 128 + (signal.SIGTERM if self.terminated else signal.SIGINT)


def follow(run: RunDirectory, trainer: subprocess.Popen[bytes], view: View, interrupts: Interrupts) -> Outcome:
    """Show the run until its trainer has ended. The first interrupt asks the trainer to stop, the second kills it."""
    reader = RunReader(run)
    handled = 0
    with view:
        while True:
            # Asked before the stream is read, so that everything the trainer wrote is seen.
            code = trainer.poll()
            snapshot = reader.read()
            view.update(snapshot)
            if code is not None:
                return _outcome(snapshot, code)
            if interrupts.count > handled:
                handled = _pass_on(interrupts.count, handled, trainer, view)
            time.sleep(POLL_SECONDS)


def make_view(run: RunDirectory) -> View:
    """Return the live view if stderr is a terminal that can show it, else plain lines."""
    from domcli.presets import from_run

    settings = from_run(run)
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from domcli.cli.live import LiveView

        return LiveView(run, settings)
    from domcli.cli.plain import PlainView

    return PlainView(run, settings)


def log_tail(run: RunDirectory, lines: int) -> list[str]:
    """Return the last lines of trainer.log that say something; a line redrawn with carriage returns counts once."""
    try:
        with run.log.open("rb") as file:
            file.seek(max(0, run.log.stat().st_size - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    found = (line.rstrip().rpartition("\r")[2] for line in text.split("\n"))
    return ["".join(sign for sign in line if sign.isprintable()) for line in found if line.strip()][-lines:]


def _pass_on(count: int, handled: int, trainer: subprocess.Popen[bytes], view: View) -> int:
    if handled == 0 and count == 1:
        trainer.terminate()
        view.say("stopping: the trainer writes a checkpoint; press Ctrl-C again to kill it")
    else:
        trainer.kill()
        view.say("killing the trainer")
    return count


def _outcome(run: Run, code: int) -> Outcome:
    closing = run.state.closing
    process = run.directory.read_process()
    if closing is None or (process is not None and closing.time < process.launched):
        return _without_closing(run, code)
    if isinstance(closing, Finished):
        return Outcome("finished", run)
    if isinstance(closing, Stopped):
        return Outcome("stopped", run)
    # An unexpected error during set-up is kept: its traceback is in the run's log.
    refused = code == REFUSED_EXIT and closing.cause in ("refused", "storage")
    return Outcome("refused" if refused else "failed", run, closing.reason)


def _without_closing(run: Run, code: int) -> Outcome:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return Outcome("killed", run, f"the trainer was killed ({name})")
    last = log_tail(run.directory, 1)
    if code == REFUSED_EXIT and last:
        return Outcome("refused", run, last[0].removeprefix("error: "))
    return Outcome("crashed", run, f"the trainer ended without a closing event (exit code {code})")
