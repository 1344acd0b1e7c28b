"""What happened when: vertical marks and target lines in the charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from domcli.charts import Key, Mark, Target
from domcli.dashboard.columns import Table, Tables, XAxis
from domcli.dashboard.shown import Shown
from domcli.overfitting import Kind as FindingKind
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
LABELLED = ("accuracy", "patterns")
"""Charts in which the marks of the schedule have labels; a line says it in the others."""
MOST_RUNS = 3
"""Of more runs than this, the marks of each would hide the curves."""


def marks_of(chart: str, runs: Sequence[Shown], tables: Tables, axis: XAxis) -> tuple[Mark, ...]:
    """Return the marks of a chart: those of the schedule once for all runs that share them, then those of each run."""
    found: dict[float, tuple[list[str], list[Shown]]] = {}
    for one in runs:
        for epoch, label in _schedule(one.run, tables)[: 1 if chart == "ranges" else None]:
            x = tables.of(one.run).x_of(epoch, axis)
            if x is not None:
                labels, owners = found.setdefault(round(x, 6), ([], []))
                labels += [label] if label not in labels else []
                owners += [one] if one not in owners else []
    shared = len(runs) if axis == "hours" else 1  # in hours, the same epoch is somewhere else in every run
    marks = []
    for x, (labels, owners) in found.items() if shared <= MOST_RUNS else ():
        all_of_them = len(owners) == len(runs)
        whose = "" if all_of_them else f" {', '.join(one.label for one in owners)}"
        label = f"{' · '.join(labels)}{whose}" if chart in LABELLED else ""
        marks.append(Mark(x, label, "mark" if all_of_them else owners[0].colour))
    for one in runs:
        for epoch, label, colour in _own(chart, one, alone=len(runs) == 1):
            x = tables.of(one.run).x_of(epoch, axis)
            if x is not None:
                marks.append(Mark(x, label, colour))
    return tuple(marks)


def _schedule(run: Run, tables: Tables) -> list[tuple[float, str]]:
    """Return after which epochs DOM began and the learning rate dropped."""
    table = tables.of(run)
    memo = table.memo
    if "schedule" not in memo:
        warmup = end_of_warmup(run)
        events = [] if warmup is None else [(warmup, "DOM on")]
        memo["schedule"] = events + [(epoch, f"lr ÷{factor:g}") for epoch, factor in rate_drops(table)]
    found: list[tuple[float, str]] = memo["schedule"]
    return found


def end_of_warmup(run: Run) -> float | None:
    """Return the epoch with which the warm-up ends, K E (paper, Algorithm 1), or None without DOM."""
    dom, train, started = section(run, "dom"), section(run, "train"), run.state.started
    epochs = started.epochs if started is not None else train.get("epochs")
    warmup = dom.get("warmup")
    if dom.get("operate", "none") == "none" or not isinstance(epochs, int) or not isinstance(warmup, (int, float)):
        return None
    return warmup * epochs


def section(run: Run, name: str) -> dict[str, Any]:
    """Return a table of a run's settings, empty where a damaged file has none."""
    found = run.settings.get(name)
    return found if isinstance(found, dict) else {}


def rate_drops(table: Table) -> list[tuple[float, float]]:
    """Return after which epochs the learning rate dropped, and by which factor: steps, not the slope of a cycle."""
    rates, epochs = table.column("lr"), table.column("epoch")
    before, after = rates[:-1], rates[1:]
    constant = np.append(True, before[1:] == before[:-1])[: before.size]
    found = np.flatnonzero(constant & (after > 0) & (after < DROP * before))
    return [(float(epochs[index]), float(f"{before[index] / after[index]:.3g}")) for index in found]


def _own(chart: str, one: Shown, alone: bool) -> Iterator[tuple[int, str, Key]]:
    best = one.run.state.best
    if alone and chart == "accuracy" and best is not None and best.test is not None:
        yield best.epoch, "best", one.colour
    for finding in one.findings:
        if chart in ABOUT[finding.kind]:
            label = finding.badge if alone else f"{finding.badge} {one.label}"
            yield finding.epoch, label, "finding" if alone else one.colour


def targets_of(runs: Sequence[Shown]) -> tuple[Target, ...]:
    """Return the paper's numbers for the settings shown: one line for each different number."""
    numbers: dict[float, Shown] = {}
    for one in runs:
        if one.paper is not None:
            numbers.setdefault(one.paper, one)
    if len(numbers) == 1:
        return tuple(Target(y, f"paper {100 * y:.1f}") for y in numbers)
    return tuple(Target(y, f"paper {100 * y:.1f}", one.colour) for y, one in numbers.items())
