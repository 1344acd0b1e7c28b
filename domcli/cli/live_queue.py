"""The view of several runs for terminals: who has ended scrolls away above, below a line for each run at work."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from domcli.cli import figures, output
from domcli.cli.at_work import ended, starting
from domcli.events import EpochEnd
from domcli.printable import printable_line
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.runstate import RunState, epoch_fraction, headline_accuracy

MOST_WAITING = 5
"""How many of the runs that wait are named."""
MARKS = {"finished": ("finished", "green"), "stopped": ("stopped", "yellow")}
SHORTEST_BAR, LONGEST_BAR = 6, 24
OTHER_COLUMNS = 37
"""What epochs, time left and accuracy take beside the name."""


class QueueView:
    """Redraws a table of the runs at work at every update."""

    def __init__(self, runs: Sequence[RunDirectory], *, looking: bool = False) -> None:
        """`looking`: Ctrl-C leaves the runs alone."""
        keys = "Ctrl-C" if looking else "Ctrl-C stops them, Ctrl-\\"
        self._hint = f"{keys} leaves them at work"
        self._console = output.console(sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._width = max(len(printable_line(run.name)) for run in runs)
        self._told: set[str] = set()
        self._notice = ""

    def __enter__(self) -> QueueView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, runs: Sequence[Run]) -> None:
        """Write a line for every run that has ended since the last call, and redraw the others."""
        for run in runs:
            if ended(run) and run.directory.name not in self._told:
                self._told.add(run.directory.name)
                self._console.print(self._ending(run), soft_wrap=True)
        self._live.update(self._picture(runs), refresh=True)

    def say(self, text: str) -> None:
        """Show a notice under the table for as long as it is there."""
        self._notice = text

    def _ending(self, run: Run) -> Text:
        word, style = MARKS.get(run.status, (run.status, "red"))
        state, best = run.state, run.state.best
        line = Text(f"{printable_line(run.directory.name):{self._width}}  ").append(f"{word:8}", style=style)
        if best is not None:
            high, last = headline_accuracy(best), headline_accuracy(state.last)
            highest = f"best {_measure(best)} {figures.percent(high)} % (epoch {best.epoch})"
            line.append(f"  {highest}, last {figures.percent(last)} %")
        return line.append(f"  {figures.duration(state.seconds)}", style="dim")

    def _picture(self, runs: Sequence[Run]) -> RenderableType:
        at_work = [run for run in runs if run.status in ("starting", "running")]
        waiting = [run for run in runs if run.status == "queued"]
        done = sum(map(ended, runs))
        lines = [self._row(run) for run in at_work]
        counts = [f"{done} of {len(runs)} done", f"{len(at_work)} at work", f"{len(waiting)} waiting"]
        lines.append(Text("  ".join(counts), style="bold"))
        names = ", ".join(printable_line(run.directory.name) for run in waiting[:MOST_WAITING])
        more = f" and {len(waiting) - MOST_WAITING} more" if len(waiting) > MOST_WAITING else ""
        lines.append(Text(f"next: {names}{more}" if names else "", style="dim"))
        legend = "; HC: high-confidence patterns" if any(" HC" in line.plain for line in lines) else ""
        hint = self._notice or f"{self._hint}{legend}"
        lines.append(Text(hint, style="yellow" if self._notice else "dim"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*(line for line in lines if line.plain))

    def _row(self, run: Run) -> Text:
        """Return name, epochs, time left, accuracy, and what else there is room for: a bar, loss and patterns."""
        state = run.state
        if run.started is None or state.started is None:
            return Text(self._name(run)).append(f"  {starting(run, time.time())}", style="dim")
        total = state.started.epochs
        remaining = state.remaining_seconds()
        eta = f"ETA {figures.duration(remaining)}" if remaining is not None else "ETA later"
        accuracy = f"{_measure(state.last)} {figures.percent(headline_accuracy(state.last))} %" if state.last else ""
        text = f"{self._name(run)}  {f'{state.epochs_done}/{total}':>7}  {eta:>11}  {accuracy:>11}"
        room = self._console.width - len(text) - 2
        bar = min(LONGEST_BAR, room)
        if bar >= SHORTEST_BAR:
            text += f"  {_bar((state.epochs_done + epoch_fraction(state)) / total, bar)}"
            facts = _facts(state)
            text += f"  {facts}" if len(facts) + 2 <= room - bar else ""
        return Text(text)

    def _name(self, run: Run) -> str:
        """Return the name, its middle left out where the terminal is narrow: its end tells seeds apart."""
        width = min(self._width, max(12, self._console.width - OTHER_COLUMNS))
        name = printable_line(run.directory.name)
        if len(name) > width:
            end = (width - 1) // 2
            name = f"{name[: width - 1 - end]}…{name[-end:]}"
        return f"{name:{width}}"


def _measure(epoch: EpochEnd) -> str:
    """Return what the headline accuracy of an epoch is of."""
    return "natural" if epoch.test is None or epoch.test.pgd_accuracy is None else "PGD"


def _bar(fraction: float, width: int) -> str:
    halves = round(min(1.0, fraction) * 2 * width)
    return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(width, "─")


def _facts(state: RunState) -> str:
    """Return the natural loss now and the high-confidence patterns of the last epoch."""
    parts = []
    if state.progress is not None and state.progress.natural_loss is not None:
        parts.append(f"loss {figures.loss(state.progress.natural_loss)}")
    if state.last is not None and state.last.memorization is not None:
        parts.append(f"{figures.count(state.last.memorization.high_confidence)} HC")
    return "  ".join(parts)
