"""Robust overfitting (Rice et al. 2020) and natural overfitting: a decline after the learning rate went down."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from domcli.events import EpochEnd, TestMetrics
from domcli.overfitting.finding import NOISE, Context, Finding, Kind, evaluated, percent

WINDOW = 5
"""evaluations of which the median is taken; two bad ones of five do not move it far."""

NEAR_DROP = 5
"""epochs before the learning rate drops in which the best may already be."""

RO_FALL = 0.02
"""RO: PGD accuracy lost at the least; the paper's runs lose about 7 points, a healthy run wavers by less than 1."""

NO_FALL = 0.005
"""NO: natural accuracy lost at the least; the paper's runs lose tenths of a point to a few points."""

CAME_BACK = 0.5
"""share of the fall that has to be left; with less the accuracy has come back."""

MEDIANS_APART = NOISE * math.sqrt(2 * (math.pi / 2) / WINDOW)
"""Standard deviations of one evaluation that two medians must be apart; a median's variance is pi / 2 of a mean's."""

STEP_OF_DEVIATION = 0.6745 * math.sqrt(2)
"""Median step between two independent normal values, in standard deviations of one."""


@dataclass(frozen=True)
class Accuracy:
    """The accuracy that a kind of overfitting is about: on the test set, and of the training passes."""

    kind: Kind
    test_name: str
    train_name: str
    test: Callable[[TestMetrics], float | None]
    train: Callable[[EpochEnd], float | None]
    least: float


ROBUST = Accuracy(
    "robust-overfitting",
    "PGD test accuracy",
    "robust training accuracy",
    lambda test: test.pgd_accuracy,
    lambda epoch: epoch.train.robust_accuracy,
    RO_FALL,
)
NATURAL = Accuracy(
    "natural-overfitting",
    "natural test accuracy",
    "training accuracy",
    lambda test: test.natural_accuracy,
    lambda epoch: epoch.train.natural_accuracy,
    NO_FALL,
)


@dataclass(frozen=True)
class _Level:
    """One evaluation, or the medians of WINDOW; `epoch` is the one with the best test accuracy."""

    epoch: int
    test: float
    train: float


def find_decline(
    epochs: Sequence[EpochEnd], what: Accuracy, context: Context, collapse: int | None = None
) -> Finding | None:
    """Return the first fall of the median test accuracy from its best with a rise of the training accuracy, or None.

    `collapse` is the epoch of a catastrophic overfitting: it and the WINDOW evaluations before it are left out.
    """
    drop = _first_drop(epochs)
    if drop is None:
        return None
    points = _points([epoch for epoch in epochs if epoch.epoch >= drop - NEAR_DROP], what)
    if collapse is not None:
        points = [point for point in points if point.epoch < collapse][:-WINDOW]
    levels = _levels(points)
    best: _Level | None = None
    for end, (before, now) in enumerate(zip(levels, levels[WINDOW:], strict=False), 2 * WINDOW):
        best = before if best is None or before.test > best.test else best  # windows do not share an evaluation
        fall = best.test - now.test
        if now.train <= best.train or fall < max(what.least, MEDIANS_APART * context.error(best.test, now.test)):
            continue
        if fall >= MEDIANS_APART * _scatter(points[:end]):
            return _finding(best, now, levels[-1], drop, what)
    return None


def _scatter(points: Sequence[_Level]) -> float:
    """Return the standard deviation of one evaluation as the steps between neighbours show it, robustly.

    At a high learning rate training itself wavers by more than the size of the test set explains.
    """
    return median(abs(now.test - then.test) for then, now in pairwise(points)) / STEP_OF_DEVIATION


def _points(epochs: Sequence[EpochEnd], what: Accuracy) -> list[_Level]:
    values = [(epoch.epoch, what.test(test), what.train(epoch)) for epoch, test in evaluated(epochs)]
    return [_Level(epoch, test, train) for epoch, test, train in values if test is not None and train is not None]


def _levels(points: Sequence[_Level]) -> list[_Level]:
    windows = (points[index : index + WINDOW] for index in range(len(points) - WINDOW + 1))
    return [
        _Level(
            max(window, key=lambda point: point.test).epoch,
            median(point.test for point in window),
            median(point.train for point in window),
        )
        for window in windows
    ]


def _finding(best: _Level, found: _Level, latest: _Level, drop: int, what: Accuracy) -> Finding:
    came_back = best.test - latest.test < CAME_BACK * (best.test - found.test)
    now = found if came_back else latest
    reason = (
        f"{what.test_name} fell from {percent(best.test)} around epoch {best.epoch} to {percent(now.test)} "
        f"(medians of {WINDOW} evaluations) after the learning rate went down in epoch {drop}, "
        f"while {what.train_name} rose from {percent(best.train)} to {percent(now.train)}"
    )
    if came_back:
        reason += f"; it is back at {percent(latest.test)} now"
    return Finding(what.kind, best.epoch, "notice" if came_back else "warning", reason)


def _first_drop(epochs: Sequence[EpochEnd]) -> int | None:
    """Return the first epoch with a lower learning rate than the one before; cyclical: the first after the peak."""
    return next((now.epoch for then, now in pairwise(epochs) if now.lr < then.lr * (1 - 1e-6)), None)
