"""Is the difference real: every group against the first, metric by metric, with interval and p value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domcli.compare.groups import Group, measured
from domcli.compare.records import POINTS, Metric, Point
from domcli.compare.statistics import Difference, paired, welch


@dataclass(frozen=True)
class Contrast:
    """How a group differs from the baseline in one accuracy: group minus baseline, in points of percent."""

    metric: Metric
    point: Point
    group: str
    baseline: str
    difference: Difference


def contrasts(groups: Sequence[Group], error: bool = False) -> Iterator[Contrast]:
    """Yield what the groups differ in from the first, for every accuracy that both have.

    With the same seeds in both (two at least) the test is paired by seed, otherwise it is Welch's on all runs of both,
    so that the difference always is that of the means in the tables. The p values are not corrected for their number.
    """
    for metric in measured(groups):
        for point in POINTS:
            for group in groups[1:]:
                found = _contrast(group, groups[0], metric, point, error)
                if found is not None:
                    yield found


def _contrast(group: Group, baseline: Group, metric: Metric, point: Point, error: bool) -> Contrast | None:
    own, other = group.values(metric, point, error), baseline.values(metric, point, error)
    if not own or not other:
        return None
    if len(own) > 1 and own.keys() == other.keys():
        difference = paired(list(own.values()), [other[seed] for seed in own])
    else:
        difference = welch(group.summary(metric, point, error), baseline.summary(metric, point, error))
    return Contrast(metric, point, group.name, baseline.name, difference)
