"""What happened when: vertical marks and target lines in the charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from domcli.catalogue import OPERATIONS, SCHEDULES
from domcli.charts import FARTHEST, Key, Mark, Target
from domcli.dashboard.columns import Table, Tables, XAxis
from domcli.dashboard.shown import Shown
from domcli.overfitting import Kind as FindingKind
from domcli.overfitting.finding import Severity
from domcli.runs import Run

DROP = 0.5
"""A learning rate that was constant and falls to less than this share has dropped."""
ABOUT: dict[FindingKind, tuple[str, ...]] = {
    "catastrophic-overfitting": ("accuracy", "loss"),
    "robust-overfitting": ("accuracy",),
    "natural-overfitting": ("accuracy",),
    "memorization-jump": ("patterns", "ranges"),
    "divergence": ("loss", "accuracy"),
}
"""In which charts a finding is marked."""
RANKS: dict[Severity, int] = {"critical": 1, "warning": 2, "notice": 3}
LABELLED = ("accuracy", "patterns")
"""Charts in which the marks of the schedule have labels; a line says it in the others."""
MOST = 6
"""With more marks than this only those that all runs share are drawn, or the gravest: many would hide the curves."""
MOST_DROPS = 10
"""A learning rate that drops more often is no schedule of steps."""


def marks_of(chart: str, runs: Sequence[Shown], tables: Tables, axis: XAxis) -> tuple[Mark, ...]:
    """Return the marks of a chart: those of the schedule once for all runs that share them, then those of each run."""
    places: dict[float, dict[str, list[Shown]]] = {}
    for one in runs:
        for epoch, label in _schedule(one.run, tables, drops=chart != "ranges"):
            x = tables.of(one.run).x_of(epoch, axis)
            if x is not None:
                places.setdefault(round(x, 6), {}).setdefault(label, []).append(one)
    shared = {x: labels for x, labels in places.items() if all(len(whose) == len(runs) for whose in labels.values())}
    marks = [
        Mark(x, _named(labels, len(runs)) if chart in LABELLED else "", _colour(labels, len(runs)))
        for x, labels in (places if len(places) <= MOST else shared).items()
    ]
    own = [(found, one) for one in runs for found in _own(chart, one, alone=len(runs) == 1)]
    own.sort(key=lambda pair: pair[0].rank)  # the same rank: in the order of the runs
    for found, one in own[:MOST]:
        x = tables.of(one.run).x_of(found.epoch, axis)
        if x is not None:
            marks.append(Mark(x, found.label, found.colour))
    return tuple(marks)


def _named(labels: Mapping[str, Sequence[Shown]], runs: int) -> str:
    """Return what happened at a place, with the runs to which it did, unless it did to all."""
    alike: dict[str, list[str]] = {}
    for label, whose in labels.items():
        alike.setdefault("" if len(whose) == runs else f" {', '.join(one.label for one in whose)}", []).append(label)
    return "; ".join(f"{' · '.join(found)}{whose}" for whose, found in alike.items())


def _colour(labels: Mapping[str, Sequence[Shown]], runs: int) -> Key:
    """Return the colour of the run to which all of it happened; that of marks where it is all runs, or several."""
    colours = {one.colour for whose in labels.values() for one in whose}
    return colours.pop() if runs > 1 and len(colours) == 1 else "mark"


def _schedule(run: Run, tables: Tables, *, drops: bool) -> list[tuple[float, str]]:
    """Return after which epochs DOM began and, with `drops`, the learning rate dropped."""
    warmup = end_of_warmup(run)
    events = [] if warmup is None else [(warmup, "DOM on")]
    found = rate_drops(run, tables.of(run)) if drops else []
    return events + [(drop.epoch, f"lr ÷{drop.factor:.3g}") for drop in found]


def end_of_warmup(run: Run) -> float | None:
    """Return the epoch with which the warm-up ends, K E (paper, Algorithm 1), or None without DOM."""
    dom, epochs = section(run, "dom"), run.span
    warmup, operation = number(dom.get("warmup")), OPERATIONS.get(dom.get("operate", "none"))
    idle = operation is not None and not operation.acts
    return None if idle or epochs is None or warmup is None else warmup * epochs


def number(value: object) -> float | None:
    """Return a setting as a number, None for what is none, or is one that no chart can hold."""
    return float(value) if isinstance(value, int | float) and abs(value) <= FARTHEST else None


def section(run: Run, name: str) -> dict[str, Any]:
    """Return a table of a run's settings, empty where a damaged file has none."""
    found = run.settings.get(name)
    return found if isinstance(found, dict) else {}


class Drop(NamedTuple):
    """A step of the learning rate: after which epoch, as a fraction where it is between two, and from what to what."""

    epoch: float
    before: float
    after: float

    @property
    def factor(self) -> float:
        return self.before / self.after


def rate_drops(run: Run, table: Table) -> list[Drop]:
    """Return the steps down of the learning rate in the epochs there are: not the slope of a cycle.

    Epochs say what the rate was at their end; when it dropped in between, the schedule of the settings says.
    """
    if "drops" not in table.memo:
        schedule = SCHEDULES.get(section(run, "train").get("schedule", "piecewise"))
        planned = () if schedule is None else schedule.drops
        table.memo["drops"] = list(_drops(run, table, planned)) if planned else []
    found: list[Drop] = table.memo["drops"]
    return found


def _drops(run: Run, table: Table, shares: Sequence[tuple[float, float]]) -> Iterator[Drop]:
    peak, epochs = number(section(run, "train").get("max_lr")), run.span
    planned = [] if epochs is None else [(epochs * share, divisor) for share, divisor in shares]
    rates, ends = table.column("lr"), table.column("epoch")
    if peak is not None and rates.size and rates[0] < DROP * peak:  # within the first epoch
        rates, ends = np.append(peak, rates), np.append(0.0, ends)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        before, after = rates[:-1], rates[1:]
        steps = np.flatnonzero((after > 0) & (after < DROP * before) & np.isfinite(before / after))
    known = -1
    for index in steps.tolist() if steps.size <= MOST_DROPS else ():
        if index and known != index - 1 and rates[index - 1] != rates[index]:
            continue  # it was falling already
        known = index
        low, high = float(rates[index]), float(rates[index + 1])
        within = [(place, divisor) for place, divisor in planned if ends[index] <= place < ends[index + 1]]
        yield from _in_between(float(ends[index]), low, high, within)


def _in_between(epoch: float, before: float, after: float, planned: Sequence[tuple[float, float]]) -> Iterator[Drop]:
    """Yield the steps from one rate to another after an epoch: where they were planned, if that leads from it to it."""
    last = max((divisor for _, divisor in planned), default=1)
    rates = [before, *(after * last / divisor for _, divisor in planned)]
    if not planned or not all(later < DROP * earlier for earlier, later in pairwise(rates)):
        yield Drop(epoch, before, after)
        return
    for (place, _), (earlier, later) in zip(planned, pairwise(rates), strict=True):
        yield Drop(place, earlier, later)


class Own(NamedTuple):
    """A mark of one run, the gravest with the lowest rank."""

    rank: int
    epoch: int
    label: str
    colour: Key


def _own(chart: str, one: Shown, alone: bool) -> Iterator[Own]:
    best = one.run.state.best
    if alone and chart == "accuracy" and best is not None and best.test is not None:
        yield Own(0, best.epoch, "best", one.colour)
    for finding in one.findings:
        if chart in ABOUT[finding.kind]:
            label = finding.badge if alone else f"{finding.badge} {one.label}"
            yield Own(RANKS[finding.severity], finding.epoch, label, "finding" if alone else one.colour)


def targets_of(runs: Sequence[Shown]) -> tuple[Target, ...]:
    """Return the paper's numbers for the settings shown: one line for each different number."""
    numbers: dict[float, Shown] = {}
    for one in runs:
        if one.paper is not None:
            numbers.setdefault(one.paper, one)
    if len(numbers) == 1:
        return tuple(Target(y, f"paper {100 * y:.1f}") for y in numbers)
    return tuple(Target(y, f"paper {100 * y:.1f}", one.colour) for y, one in numbers.items())
