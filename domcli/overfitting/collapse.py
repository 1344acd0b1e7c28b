"""Catastrophic overfitting: PGD accuracy collapses and one-step accuracy does not (Wong et al. 2020; Section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domcli.events import EpochEnd
from domcli.overfitting.finding import Context, Finding, evaluated, percent

COLLAPSED = 0.25
"""PGD accuracy at or under this share of the best before. It goes to about 0; a bad epoch does not."""

COLLAPSE = 0.05
"""PGD accuracy lost at the least, so that a network which never learned anything has nothing to lose."""

HALF = 0.5
"""under this share of the best the collapse has begun; at or over it again, the network has recovered."""

KEPT = 0.8
"""one-step accuracy (or robust training accuracy) at or over this share of what it was has not fallen as well."""

LEARNED = 1.05
"""natural over PGD accuracy of a network worth falling from: one that always says the same class has 1."""

EARLIEST = 3
"""the first evaluation that can be one; before it there is no level to fall from."""


@dataclass(frozen=True)
class _Attacked:
    """An epoch with a PGD evaluation: test accuracies, and robust training accuracy."""

    epoch: int
    pgd: float
    natural: float
    one_step: float | None
    train: float | None


def find_collapse(epochs: Sequence[EpochEnd], context: Context) -> Finding | None:
    """Return the first collapse of PGD accuracy from its best, or None.

    One evaluation proves it when test one-step accuracy was kept. Without that, robust training accuracy (RS-FGSM: on
    one step) must have been kept, natural accuracy must not have collapsed too (a bad epoch of batch norm looks like
    that), and the next evaluation must say the same.
    """
    points = [
        _Attacked(
            epoch.epoch, test.pgd_accuracy, test.natural_accuracy, test.one_step_accuracy, epoch.train.robust_accuracy
        )
        for epoch, test in evaluated(epochs)
        if test.pgd_accuracy is not None
    ]
    best: _Attacked | None = None
    unconfirmed = False
    for index, point in enumerate(points):
        if best is not None and index + 1 >= EARLIEST and _collapsed(point, best, context):
            weak = _kept(point.train, best.train) and point.natural - point.pgd >= HALF * (best.pgd - point.pgd)
            proven = point.one_step is not None and _kept(point.one_step, best.one_step)
            if proven or (weak and unconfirmed):
                return _finding(points, index, best)
            unconfirmed = weak
        else:
            unconfirmed = False
        if point.natural >= LEARNED * point.pgd and point.pgd > (0.0 if best is None else best.pgd):
            best = point
    return None


def _collapsed(point: _Attacked, best: _Attacked, context: Context) -> bool:
    fall = best.pgd - point.pgd
    return point.pgd <= COLLAPSED * best.pgd and fall >= max(COLLAPSE, context.noise(best.pgd, point.pgd))


def _kept(now: float | None, then: float | None) -> bool:
    return now is None or then is None or now >= KEPT * then


def _finding(points: Sequence[_Attacked], index: int, best: _Attacked) -> Finding:
    point, latest = points[index], points[-1]
    whole = [earlier for earlier in range(index) if points[earlier].pgd >= HALF * best.pgd]
    reason = (
        f"PGD test accuracy collapsed from {percent(best.pgd)} (epoch {best.epoch}) "
        f"to {percent(point.pgd)} (epoch {point.epoch})"
    )
    if point.one_step is not None and best.one_step is not None:
        reason += f" while one-step test accuracy went from {percent(best.one_step)} to {percent(point.one_step)}"
    elif point.train is not None and best.train is not None:
        reason += f" while robust training accuracy went from {percent(best.train)} to {percent(point.train)}"
    recovered = latest.pgd >= HALF * best.pgd
    if recovered:
        reason += f"; it is back at {percent(latest.pgd)} in epoch {latest.epoch}"
    return Finding(
        "catastrophic-overfitting", points[whole[-1] + 1].epoch, "warning" if recovered else "critical", reason
    )
