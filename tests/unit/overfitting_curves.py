"""Curves of runs, healthy and overfitted, as the tests of the overfitting watch need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from samples import epoch_end

from domcli import events
from domcli.events import EpochEnd, Memorization, TrainMetrics
from domcli.overfitting import Context, Finding

NATURAL = Context(attack="none", test_size=10_000)
PGD = Context(attack="pgd", test_size=10_000)
FGSM = Context(attack="fgsm", test_size=10_000)
PATTERNS = 50_000


@dataclass(frozen=True)
class Point:
    """One epoch of a curve; `robust` is robust training accuracy, `high` and `transformed` shares of the patterns."""

    natural: float
    pgd: float | None = None
    one_step: float | None = None
    train: float = 0.7
    robust: float | None = None
    loss: float | None = 1.0
    robust_loss: float | None = 1.5
    test_loss: float | None = 1.0
    lr: float = 0.1
    high: float = 0.5
    transformed: float | None = None
    tested: bool = True


def event(number: int, point: Point) -> EpochEnd:
    test = events.TestMetrics(
        natural_loss=point.test_loss,
        natural_accuracy=point.natural,
        pgd_accuracy=point.pgd,
        one_step_accuracy=point.one_step,
    )
    high = round(point.high * PATTERNS)
    transformed = None if point.transformed is None else round(point.transformed * PATTERNS)
    counts = Memorization(
        threshold=1.5,
        high_confidence=high,
        original=None if transformed is None else high - transformed,
        transformed=transformed,
        entered=0,
        left=0,
        removed=0,
        augmented=0,
        histogram=(high, 0, 0, 0, 0, PATTERNS - high),
        overlap=None,
    )
    train = TrainMetrics(
        natural_loss=point.loss,
        natural_accuracy=point.train,
        robust_loss=None if point.robust is None else point.robust_loss,
        robust_accuracy=point.robust,
    )
    return msgspec.structs.replace(
        epoch_end(number), lr=point.lr, train=train, test=test if point.tested else None, memorization=counts
    )


def run(points: Sequence[Point]) -> tuple[EpochEnd, ...]:
    return tuple(event(number, point) for number, point in enumerate(points, 1))


def line(*knots: tuple[int, float]) -> list[float]:
    """Values for epochs 1 to the last knot, straight between knots (epoch, value)."""
    return [float(v) for v in np.interp(range(1, knots[-1][0] + 1), [k[0] for k in knots], [k[1] for k in knots])]


def piecewise(epochs: int) -> list[float]:
    return [0.1 if e <= epochs / 2 else 0.01 if e <= epochs * 3 / 4 else 0.001 for e in range(1, epochs + 1)]


def cyclical(epochs: int) -> list[float]:
    return [0.2 * (1 - abs(2 * e / epochs - 1)) for e in range(1, epochs + 1)]


def healthy_natural() -> list[Point]:
    test = line((1, 0.35), (10, 0.7), (50, 0.85), (51, 0.93), (100, 0.945))
    train = line((1, 0.3), (10, 0.68), (50, 0.83), (51, 0.90), (100, 0.93))
    high = line((1, 0.02), (10, 0.3), (50, 0.55), (51, 0.65), (100, 0.74))
    transformed = [None] * 49 + line((1, 0), (2, 0.12), (51, 0.2))
    columns = zip(test, train, high, transformed, piecewise(100), strict=True)
    return [Point(a, train=b, loss=1.2 - b, high=h, transformed=t, lr=lr) for a, b, h, t, lr in columns]


def healthy_pgd() -> list[Point]:
    pgd = line((1, 0.2), (10, 0.36), (50, 0.43), (51, 0.5), (100, 0.515))
    robust = line((1, 0.18), (10, 0.33), (50, 0.4), (51, 0.46), (100, 0.52))
    high = line((1, 0.1), (10, 0.6), (50, 0.75), (51, 0.81), (100, 0.86))
    transformed = [None] * 49 + line((1, 0), (2, 0.09), (51, 0.13))
    columns = zip(pgd, robust, high, transformed, piecewise(100), strict=True)
    return [Point(a + 0.3, a, robust=r, loss=1.5 - r, high=h, transformed=t, lr=lr) for a, r, h, t, lr in columns]


def healthy_fgsm() -> list[Point]:
    pgd = line((1, 0.18), (10, 0.33), (30, 0.38), (60, 0.47))
    high = line((1, 0.2), (10, 0.7), (60, 0.9))
    transformed = [None] * 29 + line((1, 0), (2, 0.05), (31, 0.12))
    columns = zip(pgd, high, transformed, cyclical(60), strict=True)
    return [Point(a + 0.35, a, a + 0.1, robust=a + 0.05, high=h, transformed=t, lr=lr) for a, h, t, lr in columns]


HEALTHY = {"none": healthy_natural(), "pgd": healthy_pgd(), "fgsm": healthy_fgsm()}


def noisy(points: Sequence[Point], size: int, seed: int, wobble: float = 0.01) -> list[Point]:
    """What a test set of so many images shows: training wavers (all accuracies together, less at a low learning rate),
    every accuracy is counted on `size` images."""
    random = np.random.default_rng(seed)

    def count(accuracy: float | None, shift: float) -> float | None:
        return None if accuracy is None else random.binomial(size, min(max(accuracy + shift, 0.0), 1.0)) / size

    result = []
    for point in points:
        shift = random.normal(0, wobble * min(1.0, point.lr / 0.1))
        natural = count(point.natural, shift)
        assert natural is not None
        pgd, one_step = count(point.pgd, shift), count(point.one_step, shift)
        result.append(replace(point, natural=natural, pgd=pgd, one_step=one_step))
    return result


def every(points: Sequence[Point], step: int) -> list[Point]:
    """The same run, evaluated after every so many epochs and after the last."""
    return [replace(p, tested=e % step == 0 or e == len(points)) for e, p in enumerate(points, 1)]


def kinds(found: Sequence[Finding]) -> list[tuple[str, int]]:
    return [(one.badge, one.epoch) for one in found]


def the_one(found: Sequence[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def collapse(one_step: bool = True) -> list[Point]:
    """RS-FGSM, 60 epochs: PGD accuracy is 38 % in epoch 33, 22 % in 34 (one-step 49 %), 1 % in 35, 0 % from 36."""
    points = healthy_fgsm()[:33]
    points[32] = replace(points[32], pgd=0.38, one_step=0.48)
    for number, lr in enumerate(cyclical(60)[33:], 34):
        pgd = {34: 0.17, 35: 0.01}.get(number, 0.0)
        one = {34: 0.49, 35: 0.71}.get(number, 0.85)
        points.append(Point(0.8, pgd, one, robust=one, lr=lr, high=0.85, transformed=0.05))
    return points if one_step else [replace(point, one_step=None) for point in points]


def robust_overfitting() -> list[Point]:
    """The paper's kind: 200 epochs, 52 % after the drop behind epoch 100, 45 % at the end."""
    pgd = line((1, 0.2), (10, 0.36), (100, 0.45), (101, 0.515), (103, 0.52), (200, 0.45))
    robust = line((1, 0.18), (10, 0.33), (100, 0.42), (101, 0.5), (200, 0.85))
    columns = zip(pgd, robust, piecewise(200), strict=True)
    return [Point(0.8, a, robust=r, lr=lr) for a, r, lr in columns]


def natural_overfitting() -> list[Point]:
    """Test error 5.2 % after the first decay, 6.5 % before the second; 150 epochs."""
    test = line((1, 0.5), (20, 0.85), (75, 0.88), (76, 0.945), (78, 0.948), (112, 0.935))
    train = line((1, 0.4), (20, 0.85), (75, 0.9), (76, 0.96), (112, 0.995))
    return [Point(a, train=b, lr=lr) for a, b, lr in zip(test, train, piecewise(150)[:112], strict=True)]


def jump(at: int = 60) -> list[Point]:
    """A quarter of the patterns turns high-confidence within two epochs, and the test set is no better for it."""
    points = healthy_natural()
    for index in range(at - 1, len(points)):
        more = 0.15 if index == at - 1 else 0.25
        points[index] = replace(
            points[index], high=points[index].high + more, transformed=(points[index].transformed or 0) + more
        )
    return points
