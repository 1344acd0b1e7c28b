"""The view of several runs for terminals: who has ended scrolls away above, below a line for each run at work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from domcli.cli import figures, output
from domcli.cli.follow import ended
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.runstate import RunState, epoch_fraction, headline_accuracy

MOST_WAITING = 5
"""How many of the runs that wait are named."""
MARKS = {"finished": ("finished", "green"), "stopped": ("stopped", "yellow")}
BAR_WIDTH = 24


class QueueView:
    """Redraws a table of the runs at work at every update."""

    def __init__(self, runs: Sequence[RunDirectory]) -> None:
        self._console = output.console(sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._width = max(len(run.name) for run in runs)
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
        line = Text(f"{run.directory.name:{self._width}}  ").append(f"{word:8}", style=style)
        if best is not None:
            measure = "natural" if best.test is None or best.test.pgd_accuracy is None else "PGD"
            high, last = headline_accuracy(best), headline_accuracy(state.last)
            line.append(
                f"  best {measure} {figures.percent(high)} % (epoch {best.epoch}), last {figures.percent(last)} %"
            )
        return line.append(f"  {figures.duration(state.seconds)}", style="dim")

    def _picture(self, runs: Sequence[Run]) -> RenderableType:
        at_work = [run for run in runs if run.status in ("starting", "running")]
        waiting = [run for run in runs if run.status == "queued"]
        done = sum(map(ended, runs))
        table = Table.grid(padding=(0, 2))
        for column in range(5):
            table.add_column(no_wrap=True, justify="right" if column in (2, 4) else "left")
        for run in at_work:
            table.add_row(*self._row(run))
        parts = [f"{done} of {len(runs)} done", f"{len(at_work)} at work", f"{len(waiting)} waiting"]
        names = ", ".join(run.directory.name for run in waiting[:MOST_WAITING])
        more = f" and {len(waiting) - MOST_WAITING} more" if len(waiting) > MOST_WAITING else ""
        lines = [Text("  ".join(parts), style="bold"), Text(f"next: {names}{more}" if names else "", style="dim")]
        hint = self._notice or "Ctrl-C stops them, Ctrl-\\ leaves them at work"
        lines.append(Text(hint, style="yellow" if self._notice else "dim"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(table, *(line for line in lines if line.plain))

    def _row(self, run: Run) -> tuple[RenderableType, ...]:
        state = run.state
        name = Text(f"{run.directory.name:{self._width}}")
        if run.started is None or state.started is None:
            return name, Text("starting", style="dim"), "", "", ""
        total = state.started.epochs
        remaining = state.remaining_seconds()
        bar = ProgressBar(total=total, completed=state.epochs_done + epoch_fraction(state), width=BAR_WIDTH)
        eta = f"ETA {figures.duration(remaining)}" if remaining is not None else "ETA later"
        return name, bar, f"{state.epochs_done}/{total}", _facts(state), eta


def _facts(state: RunState) -> Text:
    """Return the natural loss now, the latest accuracy and the high-confidence patterns."""
    parts = []
    if state.progress is not None and state.progress.natural_loss is not None:
        parts.append(f"loss {figures.loss(state.progress.natural_loss)}")
    if state.last is not None:
        parts.append(f"{figures.percent(headline_accuracy(state.last))} %")
        if state.last.memorization is not None:
            parts.append(f"{figures.count(state.last.memorization.high_confidence)} HC")
    return Text("  ".join(parts))
