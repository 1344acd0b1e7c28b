"""Follow runs to their end: poll the event streams, pass on Ctrl-C, tell how each ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from domcli.cli import output
from domcli.cli.at_work import ended, log_tail
from domcli.cli.interrupts import Interrupts
from domcli.errors import DomcliError
from domcli.events import Failed
from domcli.launch import actions, queue
from domcli.process import signal_name
from domcli.rundir import RunDirectory
from domcli.runs import Run, RunReader

POLL_SECONDS = 0.2
WAKE_SECONDS = 1.0
MOST_STALLS = 10
"""Times in a row that no supervisor is found at work before that is told."""
REFUSED_EXIT = 2
"""What a trainer exits with when it refuses during set-up, before anything is trained."""
Ending = Literal["finished", "stopped", "failed", "refused", "killed", "crashed", "left", "withdrawn"]


@dataclass(frozen=True)
class Outcome:
    """How a launch ended, `left` if it goes on, `withdrawn` if it never came to one: the run is what it was before.

    `reason` is a sentence, or None where nothing went wrong.
    """

    ending: Ending
    run: Run
    reason: str | None = None


class View(AbstractContextManager["View"], Protocol):
    """Shows runs while they are followed."""

    def update(self, runs: Sequence[Run]) -> None:
        """Show the runs as they are now, always all of them in the same order."""

    def say(self, text: str) -> None:
        """Tell the person something."""


def follow(runs: Sequence[RunDirectory], view: View, interrupts: Interrupts) -> list[Outcome]:
    """Show the runs until all have ended.

    The first interrupt takes those that wait out of the queue and asks the trainers to stop, the second kills them.
    Whatever was queued goes on when this process ends; if the process that advances the queue has died, another is
    started. Where that fails again and again it is told, and runs are followed only while they are queued or at work.
    """
    readers = [RunReader(run) for run in runs]
    waiting = Waiting()
    folders = sorted({run.path.parent for run in runs})
    handled, next_wake, stalls = 0, 0.0, 0
    with view:
        while True:
            if time.monotonic() >= next_wake:
                why = _wake(folders)
                stalls = stalls + 1 if why else 0
                if stalls == MOST_STALLS:
                    view.say(f"the queue is not advanced: {why}")
                next_wake = time.monotonic() + WAKE_SECONDS
            found = [reader.read() for reader in readers]
            view.update([waiting.seen(run) for run in found])
            # Where nobody can advance the queue, a run that was to be launched again is not.
            if interrupts.leave or all(ended(run, retried=stalls < MOST_STALLS) for run in found):
                return [Outcome("withdrawn", run) if waiting.in_vain(run) else _outcome(run) for run in found]
            # Read once: the next may come while this one is passed on.
            count = interrupts.count
            if count > handled:
                _pass_on(found, kill=count > 1, view=view)
                handled = count
            time.sleep(POLL_SECONDS)


class Waiting:
    """Remembers how runs were while they waited: what a former trainer did is not to be told of the launch awaited."""

    def __init__(self) -> None:
        self._before: dict[Path, tuple[object, object]] = {}

    def in_vain(self, run: Run) -> bool:
        """Tell whether a run that was trained before has left the queue without a launch."""
        before = self._before.get(run.directory.path)
        return run.status != "queued" and run.process is not None and before == _last_words(run)

    def seen(self, run: Run) -> Run:
        """Return the run as it is to be shown: one that waited in vain as it was then."""
        if run.status == "queued":
            self._before[run.directory.path] = _last_words(run)
        return replace(run, status="queued") if self.in_vain(run) else run


def _last_words(run: Run) -> tuple[object, object]:
    launch = run.process and (run.process.ticket, run.process.pid, run.process.launched)
    return launch, run.state.closing


def make_view(runs: Sequence[RunDirectory], *, looking: bool = False) -> View:
    """Return a live view if stderr is a terminal that can show it, else plain lines.

    `looking` is whether Ctrl-C leaves the runs alone. Raises SettingsError for a run whose settings cannot be read.
    """
    from domcli.presets import from_run

    settings = [from_run(run) for run in runs]
    if not output.can_draw(sys.stderr):
        from domcli.cli.plain import PlainView

        return PlainView(runs, settings)
    if len(runs) == 1:
        from domcli.cli.live import LiveView

        return LiveView(runs[0], settings[0], looking=looking)
    from domcli.cli.live_queue import QueueView

    return QueueView(runs, looking=looking)


def _wake(folders: Sequence[Path]) -> str | None:
    """Have the queues advanced; return why one is not although it should be: its supervisor ends, or cannot begin."""
    return next((why for why in [_wake_one(folder) for folder in folders] if why), None)


def _wake_one(folder: Path) -> str | None:
    try:
        log = queue.stalled(folder)
        queue.wake(folder)
    except DomcliError as error:
        return str(error)
    return f"the process that does it ends at once; see {log}" if log else None


def _pass_on(runs: Sequence[Run], *, kill: bool, view: View) -> None:
    """Take the runs out of the queue, and ask their trainers to stop or kill them."""
    end = actions.kill if kill else actions.stop
    asked = [result for result in end([run for run in runs if not ended(run)]) if result.process is not None]
    if not asked:
        return
    whom, who = ("them", "trainers write checkpoints") if len(runs) > 1 else ("it", "the trainer writes a checkpoint")
    killing = f"killing the trainer{'s' if len(runs) > 1 else ''}"
    view.say(killing if kill else f"stopping: {who}; press Ctrl-C again to kill {whom}")


def _outcome(run: Run) -> Outcome:
    closing = run.state.closing
    if run.status == "finished":
        return Outcome("finished", run)
    if run.status == "stopped":
        return Outcome("stopped", run)
    if run.status == "failed" and isinstance(closing, Failed):
        # An unexpected error during set-up is kept: its traceback is in the run's log.
        refused = run.started is None and closing.cause in ("refused", "storage")
        return Outcome("refused" if refused else "failed", run, closing.reason)
    return _without_closing(run) if run.status == "lost" else Outcome("left", run)


def _without_closing(run: Run) -> Outcome:
    code = run.process.exit_code if run.process else None
    if code is None:
        return Outcome("killed", run, "the trainer is gone without a closing event")
    if code < 0:
        return Outcome("killed", run, f"the trainer was killed ({signal_name(code)})")
    last = log_tail(run.directory, 1)
    if code == REFUSED_EXIT and last:
        return Outcome("refused", run, last[0].removeprefix("error: "))
    return Outcome("crashed", run, f"the trainer ended without a closing event (exit code {code})")
