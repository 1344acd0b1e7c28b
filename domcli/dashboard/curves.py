"""From the runs shown to charts: what each chart of the dashboard shows, and how it is drawn. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from domcli.charts import Axis, Chart, Key, Limits, Line, Series, Stack, mean_with_band, stepped
from domcli.dashboard.columns import Table, Tables, XAxis, live_of
from domcli.dashboard.marks import marks_of, rate_drops, section, targets_of
from domcli.dashboard.palette import range_key
from domcli.dashboard.shown import Shown

AXES: dict[XAxis, Axis] = {
    "epochs": Axis("count", "epoch"),
    "steps": Axis("count", "step"),
    "hours": Axis("hours", "h:mm"),
}
NO_RUN = "mark runs with space to see their curves"
NO_EPOCH = "no epoch is finished yet"
WITHOUT_PATTERNS = "nothing is known of single patterns here"


@dataclass(frozen=True)
class View:
    """How the runs are looked at; the same for all charts."""

    axis: XAxis = "epochs"
    smoothing: float = 0.0
    """Weight of the moving average, 0 for none (see domcli.charts.smooth)."""
    log: bool = False
    """Logarithmic y axes, where a chart has one."""
    grouped: bool = False
    """Seeds of one setting as their mean with a band of one standard deviation."""
    window: Limits | None = None
    """The part of the x axis to show; None: all."""
    cursor: float | None = None
    """What is read, as a value of the x axis."""


@dataclass(frozen=True)
class Curve:
    """A line of a chart: a field of the epochs, and what it is called."""

    field: str
    name: str
    line: Line = "solid"


@dataclass(frozen=True)
class Kind:
    """A chart of the dashboard."""

    key: str
    title: str
    short: str
    """Its name where there is little room."""
    y: Axis
    curves: tuple[Curve, ...] = ()
    log: bool = False
    """Whether it can be logarithmic."""
    empty: str = NO_EPOCH
    smooth: bool = True
    """Whether it can be smoothed: what is noisy."""
    steps: bool = False
    """Whether it goes in steps where the learning rate drops."""
    from_zero: bool = False
    """Whether its axis begins at 0: where a share of the whole is what counts, not its noise."""


KINDS = (
    Kind("accuracy", "Test accuracy", "accuracy", Axis("percent"),
         (Curve("natural", "natural"), Curve("pgd", "PGD", "dashed"), Curve("one_step", "one-step", "dotted")),
         empty="nothing has been evaluated yet"),
    Kind("patterns", "Memorized patterns", "memorized", Axis("count"),
         (Curve("high_confidence", "high-conf."), Curve("transformed", "transformed", "dashed"),
          Curve("original", "original", "dotted")), log=True, empty=WITHOUT_PATTERNS),
    Kind("loss", "Training loss", "loss", Axis("number"),
         (Curve("train_natural_loss", "natural"), Curve("train_robust_loss", "adversarial", "dashed")), log=True),
    Kind("ranges", "Loss of training patterns", "loss ranges", Axis("percent"), empty=WITHOUT_PATTERNS),
    Kind("distracted", "Distracted patterns", "distracted", Axis("count", "per epoch"),
         (Curve("removed", "removed"), Curve("augmented", "augmented", "dashed")), log=True, empty=WITHOUT_PATTERNS),
    Kind("overlap", "Natural / adversarial overlap", "overlap", Axis("percent"),
         (Curve("overlap", "most confident tenth"),), empty="nothing is known of the overlap here"),
    Kind("lr", "Learning rate", "lr", Axis("number"), (Curve("lr", "learning rate"),), log=True, smooth=False,
         steps=True),
    Kind("throughput", "Throughput", "throughput", Axis("count", "images/s"), (Curve("throughput", "images/s"),),
         log=True, empty="the pace was not measured", from_zero=True),
    Kind("memory", "Peak memory", "memory", Axis("number", "GiB"), (Curve("memory", "memory"),), log=True,
         empty="memory was not measured", from_zero=True),
)  # fmt: skip
"""Charts over epochs, in order of importance."""
IF_ANY = ("removed", "augmented")
"""Fields that are shown only once they are not 0: a run has at most one of them."""
LIVE = {"train_natural_loss": "natural_loss", "train_robust_loss": "robust_loss", "throughput": "images_per_second"}
"""Fields of which a progress event has the value for the epoch in progress, and what it calls them."""


@dataclass(frozen=True, eq=False)
class Curves:
    """A line for all that is shown: of a run, or of the seeds of a setting."""

    label: str
    colour: int
    runs: tuple[Shown, ...]


def lines_of(runs: Sequence[Shown], grouped: bool) -> list[Curves]:
    """Return what gets a line of its own: each run, or each setting with all its seeds, once each, in order."""
    if not grouped:
        return [Curves(one.label, one.colour, (one,)) for one in runs]
    groups: dict[str, list[Shown]] = {}
    for one in runs:
        if not one.repeats:
            groups.setdefault(one.group, []).append(one)
    return [
        Curves(f"{name} (n={len(seeds)})" if len(seeds) > 1 else seeds[0].label, seeds[0].colour, tuple(seeds))
        for name, seeds in groups.items()
    ]


class Drawn(NamedTuple):
    """One line of a chart: whose, of what, and the points."""

    owner: Curves
    curve: Curve
    series: Series


def chart_of(kind: Kind, runs: Sequence[Shown], tables: Tables, view: View, whole: Limits) -> Chart:
    """Return a chart of the runs, without the cursor. `whole` are the x limits of everything.

    Lines that have not changed are the same objects as before.
    """
    axis = replace(kind.y, label=_unit(kind, runs), log=view.log and kind.log)
    finished = any(one.run.state.epochs for one in runs)
    chart = Chart(
        x=AXES[view.axis], y=axis, x_limits=view.window or whole, title=kind.title,
        empty=NO_RUN if not runs else kind.empty if finished else NO_EPOCH,
        marks=marks_of(kind.key, runs, tables, view.axis),
    )  # fmt: skip
    if kind.key == "ranges":
        one = first_with_patterns(runs, tables)
        stack = None if one is None else stack_of(one, tables.of(one.run), view.axis)
        title = f"{kind.title} · {one.label}" if one is not None and len(runs) > 1 else kind.title
        return replace(chart, stack=stack, title=title, y_limits=(0.0, 1.0))
    lines = drawn(kind, runs, tables, view)
    targets = targets_of(runs) if kind.key == "accuracy" else ()
    series = (*_legend(lines, pgd_name(runs)), *(line.series for line in reversed(lines)))
    smoothed = f" (smoothed, {view.smoothing:g})" if view.smoothing and kind.smooth and lines else ""
    return replace(chart, series=series, targets=targets, title=f"{kind.title}{smoothed}")


def drawn(kind: Kind, runs: Sequence[Shown], tables: Tables, view: View) -> list[Drawn]:
    """Return the lines of a chart, run by run; of curves that nobody has none, and none of who has no curve."""
    used = [curve for curve in kind.curves if any(_known(one, curve, tables) for one in runs)]
    owners = [
        owner
        for owner in lines_of(runs, view.grouped)
        if any(_known(one, curve, tables) for one in owner.runs for curve in used)
    ]
    view = view if kind.smooth else replace(view, smoothing=0.0)
    return [Drawn(owner, curve, _one(owner, kind, curve, tables, view)) for owner in owners for curve in used]


def says_something(kind: Kind, runs: Sequence[Shown], tables: Tables) -> bool:
    """Tell whether any run has values for a chart."""
    if kind.key == "ranges":
        return first_with_patterns(runs, tables) is not None
    return any(_known(one, curve, tables) for one in runs for curve in kind.curves)


def first_with_patterns(runs: Sequence[Shown], tables: Tables) -> Shown | None:
    """Return the run whose loss ranges are shown: the first that has any."""
    return next((one for one in runs if np.isfinite(tables.of(one.run).histogram).any()), None)


def _legend(lines: Sequence[Drawn], pgd: str) -> Iterator[Series]:
    """Yield samples for the legend: which line is what and, of several runs, which colour is which.

    Of several runs, the samples of the lines have the colour of texts.
    """
    owners = list(dict.fromkeys(line.owner for line in lines))
    curves = list(dict.fromkeys(line.curve for line in lines))
    if len(curves) > 1:
        colour: Key = owners[0].colour if len(owners) == 1 else "text"
        yield from (_sample(curve_name(curve, pgd), colour, curve.line) for curve in curves)
    if len(owners) > 1:
        yield from (_sample(owner.label, owner.colour, "solid") for owner in owners)


def curve_name(curve: Curve, pgd: str) -> str:
    """Return what a curve is called, given the name of the evaluation attack."""
    return pgd if curve.field == "pgd" else curve.name


def _unit(kind: Kind, runs: Sequence[Shown]) -> str:
    """Return what the y axis measures; patterns are counted out of the training set."""
    sizes = {one.run.state.started.train_size for one in runs if one.run.state.started is not None}
    return f"of {sizes.pop():,}" if kind.key == "patterns" and len(sizes) == 1 else kind.y.label


def pgd_name(runs: Sequence[Shown]) -> str:
    """Return what PGD evaluation is called: PGD-20, or PGD where the runs differ in it."""
    found = (section(one.run, "evaluation").get("steps") for one in runs)
    steps = {value for value in found if isinstance(value, int)}
    return f"PGD-{steps.pop()}" if len(steps) == 1 else "PGD"


def _known(one: Shown, curve: Curve, tables: Tables) -> bool:
    values = tables.of(one.run).column(curve.field)
    known = bool((values > 0).any() if curve.field in IF_ANY else np.isfinite(values).any())
    return known or (curve.field in LIVE and getattr(one.run.state.progress, LIVE[curve.field], None) is not None)


@lru_cache(256)
def _sample(name: str, colour: Key, line: Line) -> Series:
    """Return a series that is seen in the legend alone."""
    return Series(name, np.empty(0), np.empty(0), colour, line)


def _one(line: Curves, kind: Kind, curve: Curve, tables: Tables, view: View) -> Series:
    """Return a curve of a run or of the seeds of a setting; the same object as long as nothing has changed."""
    parts = [_plain(one, curve, tables, view.axis if len(line.runs) == 1 else "epochs") for one in line.runs]
    memo = tables.of(line.runs[0].run).memo
    key = (curve, line.label, line.colour, len(line.runs) > 1)
    inputs = (*parts, view.axis, view.smoothing)
    before = memo.get(key)
    if before is not None and before[0] == inputs:  # series are equal only to themselves
        found: Series = before[1]
        return found
    series = parts[0] if len(parts) == 1 else _mean(line, parts, tables, view.axis)
    if kind.steps:
        series = stepped(series, _steps_of(line.runs[0], tables, view.axis))
    made = replace(series, colour=line.colour, line=curve.line).smoothed(view.smoothing)
    memo[key] = (inputs, made)
    return made


def _steps_of(one: Shown, tables: Tables, axis: XAxis) -> list[tuple[float, float, float]]:
    """Return where the learning rate drops, from what and to what; of seeds the first stands for all."""
    table = tables.of(one.run)
    places = ((table.x_of(drop.epoch, axis), drop) for drop in rate_drops(one.run, table))
    return [(x, drop.before, drop.after) for x, drop in places if x is not None]


def _plain(one: Shown, curve: Curve, tables: Tables, axis: XAxis) -> Series:
    """Return a curve of one run, with the point of the epoch in progress where there is one."""
    table = tables.of(one.run)
    live = live_of(one.run, table, axis) if curve.field in LIVE else None
    point = None if live is None or (y := getattr(live, curve.field)) is None else (live.x, float(y))
    key = ("plain", curve.field, axis)
    before = table.memo.get(key)
    if before is None or before[0] != point:
        x, y = table.x(axis), table.column(curve.field)
        if point is not None:
            x, y = np.append(x, point[0]), np.append(y, point[1])
        before = table.memo[key] = (point, Series("", x, y))
    found: Series = before[1]
    return found


def _mean(line: Curves, parts: Sequence[Series], tables: Tables, axis: XAxis) -> Series:
    """Return the mean of seeds, epoch by epoch, placed on the axis at the mean of where their epochs ended."""
    finished = [Series("", part.x[: len(table.epochs)], part.y[: len(table.epochs)])
                for part, table in zip(parts, (tables.of(one.run) for one in line.runs), strict=True)]  # fmt: skip
    mean = mean_with_band("", finished)
    if axis == "epochs":
        return mean
    places = [Series("", table.x("epochs"), table.x(axis)) for table in (tables.of(one.run) for one in line.runs)]
    return replace(mean, x=mean_with_band("", places).y)


def stack_of(one: Shown, table: Table, axis: XAxis) -> Stack | None:
    """Return the proportions of the loss ranges (paper, Figure 1), the lowest losses at the bottom."""
    if "stack" not in table.memo or table.memo["stack"][0] != axis:
        started = one.run.state.started
        made = None
        if started is not None and np.isfinite(table.histogram).any():
            lower = started.loss_ranges
            colours: tuple[Key, ...] = tuple(range_key(index, len(lower)) for index in range(len(lower)))
            made = Stack(table.x(axis), table.histogram, range_names(lower), colours, solid=True)
        table.memo["stack"] = (axis, made)
    found: Stack | None = table.memo["stack"][1]
    return found


def range_names(lower: Sequence[float]) -> tuple[str, ...]:
    """Return what loss ranges are called, given their lower ends."""
    return (
        *(f"{low:g}–{high:g}" for low, high in pairwise(lower)),
        *(f"≥{one:g}" for one in lower[-1:]),
    )


def same(one: Chart | None, other: Chart | None) -> bool:
    """Tell whether two charts look alike because they were made from the same things; cheap, and never wrongly True."""
    if one is None or other is None:
        return one is other
    plain = ("x", "y", "x_limits", "y_limits", "marks", "targets", "title", "empty")
    return (
        len(one.series) == len(other.series)
        and all(a is b for a, b in zip(one.series, other.series, strict=True))
        and one.stack is other.stack
        and all(getattr(one, name) == getattr(other, name) for name in plain)
    )
