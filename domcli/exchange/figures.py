"""The figures of the paper from a run's own record: accuracy, loss ranges, overlap, loss of memorized patterns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli import files
from domcli.catalogue import ATTACKS, OPERATIONS, SCHEDULES
from domcli.errors import SettingsError
from domcli.events import EpochEnd, Memorization
from domcli.exchange import plot
from domcli.exchange.files import require_different_names
from domcli.presets import from_run
from domcli.rundir import RunDirectory
from domcli.runstate import RunState
from domcli.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NATURAL, PGD, ONE_STEP = plot.COLOURS[:3]
DASHED = plot.LINE_STYLES[1]
RANGE_COLOURS = ("#0D3B66", "#2A6F97", "#61A5C2", "#F6E7B4", "#F4A261", "#C8553D")
"""Of the loss ranges, lowest first: blue is memorized, red is not."""


class NotRecordedError(Exception):
    """A figure cannot be drawn from what the run recorded; says why, and how to record it."""


@dataclass(frozen=True)
class Record:
    """What a run recorded of itself."""

    directory: RunDirectory
    settings: Settings
    state: RunState

    @property
    def epochs(self) -> tuple[EpochEnd, ...]:
        return self.state.epochs

    @property
    def warmup(self) -> float:
        """The epoch with which the warm-up ends, K."""
        return self.settings.train.span * self.settings.dom.warmup


@dataclass(frozen=True)
class Outcome:
    """A figure of a run: its file, or the reason why there is none."""

    run: str
    figure: str
    path: Path | None
    reason: str | None


def draw(runs: Sequence[tuple[RunDirectory, RunState]], folder: Path, kind: str) -> list[Outcome]:
    """Draw every figure of every run that its record allows, as `FOLDER/RUN-FIGURE.KIND`.

    Of a run whose settings cannot be read there is none. Raises PlotError without matplotlib, ExportError for two runs
    of one name, StorageError if nothing can be written.
    """
    require_different_names(directory.name for directory, _ in runs)
    return [outcome for directory, state in runs for outcome in _draw_all(directory, state, folder, kind)]


def _draw_all(directory: RunDirectory, state: RunState, folder: Path, kind: str) -> list[Outcome]:
    try:
        record = Record(directory, from_run(directory), state)
    except SettingsError as error:
        reason = str(error).replace("\n", "; ")
        return [Outcome(directory.name, name, None, reason) for name in FIGURES]
    return [_draw(record, name, folder, kind) for name in FIGURES]


def _draw(record: Record, name: str, folder: Path, kind: str) -> Outcome:
    path = folder / f"{record.directory.name}-{name}.{kind}"
    with plot.figure() as (drawing, axes):
        try:
            if not record.epochs:
                raise NotRecordedError("no epoch is finished yet")
            FIGURES[name](record, drawing, axes[0])
        except NotRecordedError as reason:
            return Outcome(record.directory.name, name, None, str(reason))
        plot.epoch_axis(axes[0], record.epochs[-1].epoch)
        plot.save(drawing, path, _source(record))
    return Outcome(record.directory.name, name, path, None)


def _source(record: Record) -> str:
    known = record.directory.read_environment()
    commit = known.get("git_commit")
    return (
        f"run {record.directory.path.absolute()}, seed {record.settings.train.seed}, {len(record.epochs)} epochs"
        f"{f', commit {commit}' if commit else ''}"
    )


def _accuracy(record: Record, drawing: Figure, ax: Axes) -> None:
    """Natural, PGD and one-step accuracy on training and test images."""
    attack, evaluation = record.settings.attack, record.settings.evaluation
    trained = ATTACKS.get(attack.name)
    one_step = trained is not None and trained.one_step
    robust_colour, robust = (ONE_STEP, "one-step") if one_step else (PGD, f"PGD-{attack.steps}")
    train, test = ([(epoch.epoch, getattr(epoch, part)) for epoch in record.epochs] for part in ("train", "test"))
    curves = [
        ("test natural", NATURAL, "-", test, "natural_accuracy"),
        (f"test PGD-{evaluation.steps}", PGD, "-", test, "pgd_accuracy"),
        ("test one-step", ONE_STEP, "-", test, "one_step_accuracy"),
        ("train natural", NATURAL, DASHED, train, "natural_accuracy"),
        (f"train {robust}", robust_colour, DASHED, train, "robust_accuracy"),
    ]
    samples = {}
    for name, colour, style, metrics, field in curves:
        points = [(epoch, getattr(measured, field, None)) for epoch, measured in metrics]
        known = [(epoch, 100 * value) for epoch, value in points if value is not None]
        if known:
            samples[name] = _line(ax, [epoch for epoch, _ in known], [value for _, value in known], colour, style)
    plot.legend_above(drawing, samples, ncols=2)
    ax.set_ylabel("accuracy (%)")
    plot.draw_marks(ax, _marks(record))


def _loss_ranges(record: Record, drawing: Figure, ax: Axes) -> None:
    """Share of the training patterns in each range of natural loss (paper, Figure 1)."""
    found = _memorization(record)
    lower = list(record.state.started.loss_ranges) if record.state.started else []
    if any(len(one.histogram) != len(lower) or not sum(one.histogram) for _, one in found):
        raise NotRecordedError("the counts of its loss ranges are damaged; run it again")
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(lower)] + [f"from {lower[-1]:g}"]
    shares = [[100 * one.histogram[index] / sum(one.histogram) for _, one in found] for index in range(len(lower))]
    colours = [RANGE_COLOURS[index % len(RANGE_COLOURS)] for index in range(len(lower))]
    areas = ax.stackplot([epoch for epoch, _ in found], shares, colors=colours, linewidth=0)
    plot.legend_above(drawing, dict(zip(names, areas, strict=True)), ncols=3)
    ax.set_ylim(0, 100)
    ax.set_ylabel("training patterns (%)\nby natural loss")
    ax.grid(visible=False)
    plot.draw_marks(ax, _marks(record), colour="#FFFFFF")


def _overlap(record: Record, _drawing: Figure, ax: Axes) -> None:
    """Share of the most confident tenth by natural loss that is also so by adversarial loss (paper, Figure 3)."""
    attack = ATTACKS.get(record.settings.attack.name)
    if attack is not None and not attack.perturbs:
        raise NotRecordedError("natural training has no adversarial loss to compare with; train with an attack")
    known = [(epoch, one.overlap) for epoch, one in _memorization(record) if one.overlap is not None]
    if not known:
        raise NotRecordedError("the overlap was not recorded; run it again with this version")
    _line(ax, [epoch for epoch, _ in known], [100 * value for _, value in known], NATURAL)
    ax.set_ylim(0, 100)
    ax.set_ylabel("natural/adversarial overlap\nof the most confident tenth (%)")
    plot.draw_marks(ax, _marks(record))


def _pattern_loss(record: Record, drawing: Figure, ax: Axes) -> None:
    """Mean natural loss of the original patterns and of those that became high-confidence later (paper, Figure 2)."""
    losses = _losses(record)
    groups = _memorized(record, losses)
    epochs = [epoch.epoch for epoch in record.epochs]
    samples = {}
    for (name, chosen), colour in zip(groups.items(), (NATURAL, PGD), strict=True):
        if count := int(chosen.sum()):
            means = [_mean(losses[epoch - 1][chosen]) for epoch in epochs]
            samples[f"{name} ({count:,})"] = _line(ax, epochs, means, colour)
    if not samples:
        raise NotRecordedError("no pattern was high-confidence from the end of the warm-up on; dom.threshold is low")
    threshold = record.settings.dom.threshold
    samples[f"T = {threshold:g}"] = ax.axhline(threshold, color="#444444", linewidth=0.8, linestyle=DASHED)
    plot.legend_above(drawing, samples, ncols=3)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("mean natural loss")
    plot.draw_marks(ax, _marks(record, always_warmup=True))


FIGURES: dict[str, Callable[[Record, Figure, Axes], None]] = {
    "accuracy": _accuracy,
    "loss-ranges": _loss_ranges,
    "overlap": _overlap,
    "pattern-loss": _pattern_loss,
}
"""What is drawn of each run, by the name in the file's."""


def _memorization(record: Record) -> list[tuple[int, Memorization]]:
    found = [(epoch.epoch, epoch.memorization) for epoch in record.epochs if epoch.memorization is not None]
    if not found:
        raise NotRecordedError("an imported log says nothing of single training patterns; run its settings with domcli")
    return found


def _losses(record: Record) -> Any:
    """Return the natural losses, epochs x patterns, float16, still on disk."""
    import numpy as np

    path = record.directory.memorization
    if not files.exists(path):
        raise NotRecordedError("the loss of each pattern was not kept; run it with --set memorization.record=true")
    try:
        files.open_bytes(path).close()
        losses = np.load(path, mmap_mode="r")
    except Exception as error:  # NumPy parses the header as Python, which fails in a dozen ways
        raise NotRecordedError(f"{path} is damaged: {error}") from error
    if losses.ndim != 2 or losses.dtype != np.float16 or len(losses) < record.epochs[-1].epoch:
        raise NotRecordedError(f"{path} is damaged: {losses.dtype} {losses.shape}; expected float16 epochs x patterns")
    return losses


def _memorized(record: Record, losses: Any) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return which patterns are original: high-confidence at the end of the warm-up; and which became so later."""
    import numpy as np

    threshold, end, done = record.settings.dom.threshold, math.ceil(record.warmup), record.epochs[-1].epoch
    if done <= end:
        raise NotRecordedError(f"original and transformed patterns are known after epoch {end}, the end of the warm-up")
    original = losses[end - 1] < threshold if end else np.zeros(losses.shape[1], dtype=np.bool_)
    later = np.zeros_like(original)
    for row in losses[end:done]:
        later |= row < threshold
    return {"original": original, "transformed": later & ~original}


def _mean(losses: Any) -> float:
    """Return the mean of the finite losses: float16 has none above 65504."""
    import numpy as np

    single = losses.astype(np.float32)
    finite = single[np.isfinite(single)]
    return float(finite.mean()) if len(finite) else math.nan


def _marks(record: Record, always_warmup: bool = False) -> dict[float, str]:
    """Return the epochs with which the warm-up ends (unless DOM does nothing) and the learning rate drops."""
    train, last = record.settings.train, record.epochs[-1].epoch
    schedule, operation = SCHEDULES.get(train.schedule), OPERATIONS.get(record.settings.dom.operate)
    planned = () if schedule is None else schedule.drops
    drops = {train.span * share: f"lr / {divisor:g}" for share, divisor in planned}
    marks = dict(drops)
    if always_warmup or operation is None or operation.acts:
        # The rate stands in the line below, so that the two never collide.
        below = drops.get(record.warmup, " ")
        marks[record.warmup] = f"warm-up ends\n{below}" if drops else "warm-up ends"
    return {epoch: name for epoch, name in marks.items() if 1 <= epoch <= last}


def _line(ax: Axes, x: Sequence[float], y: Sequence[float], colour: str, style: Any = "-") -> Any:
    """Draw a curve; a single point gets a marker, which a line alone would not show."""
    marker = "o" if len(x) == 1 else None
    return ax.plot(x, y, color=colour, linestyle=style, marker=marker, markersize=3)[0]
