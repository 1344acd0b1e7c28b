"""The view for terminals: a line for each finished epoch, and below them bars, losses and memorized patterns."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from domcli.catalogue import OPERATIONS
from domcli.cli import figures, output
from domcli.cli.at_work import log_tail, starting
from domcli.cli.epochs import EpochTable
from domcli.cli.plain import describe
from domcli.events import Progress, Started
from domcli.finding import queue_places
from domcli.launch.launcher import why_it_waits
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.runstate import RunState, epoch_fraction, headline_accuracy
from domcli.settings import Settings

PHASES = {"train": "train", "test": "test", "attack-train": "attack"}


class LiveView:
    """Redraws the bars at every update; finished epochs scroll away above them."""

    def __init__(self, run: RunDirectory, settings: Settings, *, looking: bool = False) -> None:
        """`looking`: Ctrl-C leaves the run alone."""
        self._keys = "Ctrl-C leaves it there" if looking else "Ctrl-C takes it out, Ctrl-\\ leaves it there"
        self._run = run
        self._settings = settings
        self._console: Console = output.console(sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._table: EpochTable | None = None
        self._width = 0
        self._shown: int | None = None
        self._spinner = Spinner("dots")
        self._notice = ""

    def __enter__(self) -> LiveView:
        self._console.print(Text(f"{self._run.name}", style="bold"))
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, runs: Sequence[Run]) -> None:
        """Write the epochs that have finished since the last call and redraw the bars."""
        (run,) = runs
        started = run.started
        if started is None or run.status == "queued":
            self._live.update(self._queued(run) if run.status == "queued" else self._starting(run), refresh=True)
            return
        if self._shown is None:
            self._shown = started.epoch
            self._console.print(Text(describe(started), style="dim"))
        for epoch in run.state.epochs:
            if epoch.epoch > self._shown:
                style = "bold green" if epoch.best else ""
                self._line(self._fitting_table().line(epoch), style)
                self._shown = epoch.epoch
        self._live.update(self._running(run.state, started), refresh=True)

    def say(self, text: str) -> None:
        """Show a notice under the bars for as long as they are there."""
        self._notice = text

    def _fitting_table(self) -> EpochTable:
        """Return the table for the terminal's width, with a new header when that has changed."""
        if self._table is None or self._width != self._console.width:
            self._width = self._console.width
            table = EpochTable(self._settings, self._width)
            if self._table is None or table.header() != self._table.header():
                for line in (*table.legend(), *table.header()):
                    self._line(line, "dim")
            self._table = table
        return self._table

    def _line(self, text: str, style: str) -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _queued(self, run: Run) -> RenderableType:
        place = queue_places(self._run.path.parent).get(self._run.name)
        where = f", {place - 1} before it" if place and place > 1 else ", next in the queue" if place else ""
        why = why_it_waits(self._run.path.parent, run.ticket) if run.ticket else None
        text = f"queued: {why or 'waits for a free device'}{where}; {self._keys}"
        self._spinner.update(text=Text(text, no_wrap=True, overflow="ellipsis"))
        return Group(self._spinner, *self._notices())

    def _starting(self, run: Run) -> RenderableType:
        last = log_tail(self._run, 1)
        text = f"{starting(run, time.time())}  {last[0] if last else ''}"
        self._spinner.update(text=Text(text[: self._console.width - 4], no_wrap=True))
        return Group(self._spinner, *self._notices())

    def _running(self, state: RunState, started: Started) -> RenderableType:
        bars = Table.grid(padding=(0, 1), expand=True)
        bars.add_column(no_wrap=True)
        bars.add_column(ratio=1)
        bars.add_column(no_wrap=True, justify="right")
        bars.add_column(no_wrap=True, justify="right", min_width=14)
        done = state.epochs_done + epoch_fraction(state)
        remaining = state.remaining_seconds()
        bars.add_row(
            "epochs",
            ProgressBar(total=started.epochs, completed=done),
            f"{state.epochs_done}/{started.epochs}",
            f"ETA {figures.duration(remaining)}" if remaining is not None else "ETA later",
        )
        progress = state.progress
        if progress is not None:
            # The last report of a finished epoch may have come before its last step.
            step = progress.steps if progress.epoch <= state.epochs_done else progress.step
            bars.add_row(
                PHASES[progress.phase],
                ProgressBar(total=progress.steps, completed=step),
                f"{step}/{progress.steps}",
                f"{progress.images_per_second:,.0f} images/s",
            )
        facts = [self._losses(state, progress), self._patterns(progress)]
        return Group(bars, *(fact for fact in facts if fact.plain), *self._notices())

    def _losses(self, state: RunState, progress: Progress | None) -> Text:
        parts = []
        if progress is not None:
            named = [
                ("lr", figures.rate(progress.lr)),
                ("natural loss", figures.loss(progress.natural_loss)),
                ("robust loss", figures.loss(progress.robust_loss)),
            ]
            parts = [f"{name} {value}" for name, value in named if value != figures.MISSING]
        best = state.best
        if best is not None:
            attacked = best.test is not None and best.test.pgd_accuracy is not None
            measure = f"PGD-{self._settings.evaluation.steps}" if attacked else "natural"
            parts.append(f"best {measure} {figures.percent(headline_accuracy(best))} % (epoch {best.epoch})")
        return Text("  ".join(parts), no_wrap=True, overflow="ellipsis")

    def _patterns(self, progress: Progress | None) -> Text:
        if progress is None or not progress.seen:
            return Text()
        share = figures.percent(progress.high_confidence / progress.seen)
        parts = [f"high-confidence {progress.high_confidence:,} of {progress.seen:,} patterns ({share} %)"]
        operation = OPERATIONS.get(self._settings.dom.operate)
        if operation is not None and operation.weighs:
            parts.append(f"removed {progress.removed:,}")
        elif operation is None:
            parts.append(f"acted on {progress.removed + progress.augmented:,}")
        elif operation.augments:
            parts.append(f"augmented {progress.augmented:,}")
        return Text("  ".join(parts), no_wrap=True, overflow="ellipsis")

    def _notices(self) -> list[Text]:
        return [Text(self._notice, style="yellow")] if self._notice else []
