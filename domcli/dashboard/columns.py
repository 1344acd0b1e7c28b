"""The epochs of a run as columns of numbers, read once: what charts are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domcli.charts import Limits
from domcli.events import EpochEnd
from domcli.runs import Run
from domcli.runstate import epoch_fraction

Array = NDArray[np.float64]
XAxis = Literal["epochs", "steps", "hours"]


OF_TEST = attrgetter("natural_accuracy", "pgd_accuracy", "one_step_accuracy")
OF_RECORD = attrgetter("high_confidence", "original", "transformed", "removed", "augmented", "overlap")
NAMES = (
    *("epoch", "hours", "lr", "train_natural_loss", "train_robust_loss", "throughput", "memory"),
    *("natural", "pgd", "one_step"),
    *("high_confidence", "original", "transformed", "removed", "augmented", "overlap"),
)
"""The numbers of an epoch: `hours` of the epoch alone, losses in nats, accuracies as fractions, memory in GiB."""
FIELDS = {name: index for index, name in enumerate(NAMES)}
HOURS = FIELDS["hours"]
NO_TEST, NO_RECORD = (None,) * 3, (None,) * 6


def row_of(end: EpochEnd) -> tuple[float | None, ...]:
    """Return the numbers of an epoch in the order of NAMES; None, which becomes NaN, where nothing was measured."""
    return (
        end.epoch,
        (end.train_seconds + end.test_seconds) / 3600,
        end.lr,
        end.train.natural_loss,
        end.train.robust_loss,
        end.images_per_second,
        None if end.memory is None else end.memory / 2**30,
        *(NO_TEST if end.test is None else OF_TEST(end.test)),
        *(NO_RECORD if end.memorization is None else OF_RECORD(end.memorization)),
    )


@dataclass(frozen=True, eq=False)
class Table:
    """The finished epochs of a run: `values` of shape (fields, epochs), `histogram` of shape (epochs, ranges)."""

    epochs: tuple[EpochEnd, ...]
    values: Array
    histogram: Array
    steps_per_epoch: int | None
    memo: dict[Any, Any] = field(default_factory=dict)
    """What was made from this table; it goes when the table goes."""

    def column(self, name: str) -> Array:
        """Return a field of every epoch."""
        column: Array = self.values[FIELDS[name]]
        return column

    def x(self, axis: XAxis) -> Array:
        """Return where each epoch ended: its number, the steps, or the hours of training and evaluation until then."""
        if axis == "hours":
            if "hours" not in self.memo:
                self.memo["hours"] = np.cumsum(self.values[HOURS])
            hours: Array = self.memo["hours"]
            return hours
        epochs = self.column("epoch")
        return epochs if axis == "epochs" else epochs * (self.steps_per_epoch or 1)

    def x_of(self, epoch: float, axis: XAxis) -> float | None:
        """Return where an epoch ended, or would end, on an axis; None where that cannot be known."""
        if axis != "hours":
            return epoch * (1 if axis == "epochs" else self.steps_per_epoch or 1)
        return self.moved(epoch, "epochs", "hours") if self.epochs and epoch <= self.epochs[-1].epoch else None

    def moved(self, x: float, old: XAxis, new: XAxis) -> float:
        """Return the place of `x` of one axis on another."""
        if not self.epochs:
            return x
        before, after = (np.append(0.0, self.x(axis)) for axis in (old, new))
        return float(np.interp(x, before, after))


def table_of(run: Run, before: Table | None = None) -> Table:
    """Return the table of a run; of `before`, its table at an earlier time, what has not changed is used again."""
    epochs, started = run.state.epochs, run.state.started
    steps, ranges = (None, 0) if started is None else (started.steps_per_epoch, len(started.loss_ranges))
    if before is not None and before.epochs is epochs and before.steps_per_epoch == steps:
        return before
    kept = 0
    if before is not None and before.histogram.shape[1] == ranges:
        most = min(len(before.epochs), len(epochs))
        kept = next((i for i in range(most, 0, -1) if before.epochs[i - 1] is epochs[i - 1]), 0)
    rows = np.array([row_of(end) for end in epochs[kept:]], np.float64).reshape(-1, len(FIELDS)).T
    histogram = _histogram(epochs[kept:], ranges)
    if before is not None and kept:
        rows = np.hstack([before.values[:, :kept], rows])
        histogram = np.vstack([before.histogram[:kept], histogram])
    return Table(epochs, rows, histogram, steps)


def _histogram(epochs: Sequence[EpochEnd], ranges: int) -> Array:
    """Return the patterns in each loss range; a row of NaN where the record is missing or has other ranges."""
    counts = [() if end.memorization is None else end.memorization.histogram for end in epochs]
    missing = (np.nan,) * ranges
    rows = [row if len(row) == ranges else missing for row in counts]
    return np.array(rows, np.float64).reshape(len(rows), ranges)


class Tables:
    """The tables of the runs looked at lately. Reading ahead in another thread is safe: call `of` there."""

    def __init__(self) -> None:
        self._kept: dict[Path, Table] = {}

    def of(self, run: Run) -> Table:
        """Return the table of a run as it is now."""
        path = run.directory.path
        table = self._kept[path] = table_of(run, self._kept.get(path))
        return table

    def keep(self, runs: Sequence[Run]) -> None:
        """Forget all but these runs."""
        wanted = {run.directory.path for run in runs}
        for path in self._kept.keys() - wanted:
            self._kept.pop(path, None)


class Live(NamedTuple):
    """How far the epoch in progress is, where a chart can show it."""

    x: float
    train_natural_loss: float | None
    train_robust_loss: float | None
    throughput: float | None


def live_of(run: Run, table: Table, axis: XAxis) -> Live | None:
    """Return the point of the epoch that is being trained, or None if none is."""
    state, progress = run.state, run.state.progress
    if progress is None or progress.phase != "train" or progress.epoch <= state.epochs_done or run.status != "running":
        return None
    part = epoch_fraction(state)
    if axis == "hours":
        if not table.epochs:
            return None
        x = float(table.x("hours")[-1] + part * table.values[HOURS, -1])
    else:
        x = (progress.epoch - 1 + part) * (1 if axis == "epochs" else progress.steps)
    return Live(x, progress.natural_loss, progress.robust_loss, progress.images_per_second)


def extent(tables: Sequence[Table], axis: XAxis) -> Limits:
    """Return from where to where epochs have ended, beginning with 0; (0, 1) if none has."""
    ends = [float(table.x(axis)[-1]) for table in tables if table.epochs]
    return 0.0, max([end for end in ends if end > 0], default=1.0)
