from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from overfitting_curves import (
    FGSM,
    HEALTHY,
    NATURAL,
    PGD,
    Point,
    collapse,
    every,
    healthy_fgsm,
    healthy_natural,
    healthy_pgd,
    jump,
    kinds,
    natural_overfitting,
    noisy,
    piecewise,
    robust_overfitting,
    run,
)
from samples import started

from domcli.overfitting import BADGES, Context, context_of, watch
from domcli.settings import Settings

# Healthy runs


@pytest.mark.parametrize("attack", HEALTHY)
@pytest.mark.parametrize(("size", "wobble"), [(200, 0.01), (1000, 0.02), (10_000, 0.0), (10_000, 0.02)])
def test_a_healthy_run_is_left_alone_whatever_the_noise(attack: str, size: int, wobble: float) -> None:
    context = Context(attack=attack, test_size=size)
    alarms = [seed for seed in range(200) if watch(run(noisy(HEALTHY[attack], size, seed, wobble)), context)]
    assert len(alarms) <= 2, alarms


@pytest.mark.parametrize("attack", HEALTHY)
def test_a_healthy_run_is_left_alone_when_evaluated_seldom(attack: str) -> None:
    points = every(noisy(HEALTHY[attack], 1000, 0), 5)
    assert watch(run(points), Context(attack=attack, test_size=1000)) == ()


@pytest.mark.parametrize("context", [NATURAL, PGD, FGSM])
def test_nothing_is_said_before_anything_happened(context: Context) -> None:
    assert watch((), context) == ()
    assert watch(run([Point(0.1, 0.0, 0.1, robust=0.1)]), context) == ()


def test_a_network_that_never_learned_cannot_collapse() -> None:
    random = np.random.default_rng(1)
    guessing = [Point(a, a, a, robust=0.1, loss=2.303) for a in random.choice([0.06, 0.1, 0.19, 0.196], 60)]
    assert watch(run(guessing), FGSM) == ()
    # learns to tell one class from the others: its majority class was nothing to lose
    first = [Point(0.196, 0.196, 0.196, robust=0.19)] * 4 + [Point(0.25, 0.03, 0.17, robust=0.2)] * 6
    assert watch(run(first), FGSM) == ()


def test_the_first_epochs_are_not_a_collapse() -> None:
    """Epoch 1 of a small network has no robustness yet, and the second less by chance."""
    points = [Point(0.3, 0.2, 0.25, robust=0.2), Point(0.3, 0.01, 0.3, robust=0.25)]
    assert watch(run(points), FGSM) == ()


Column = tuple[float, ...]
QUICK: dict[str, tuple[str, Column, Column | None, Column | None]] = {
    "natural-baseline": ("none", (0.100, 0.290, 0.465, 0.855, 0.875, 0.860), None, None),
    "pgd-dom-re": ("pgd", (0.490, 0.620, 0.655, 0.710, 0.730, 0.760), (0.410, 0.480, 0.575, 0.620, 0.650, 0.640), None),
    "fgsm-baseline": (
        "fgsm",
        (0.245, 0.355, 0.350, 0.765, 0.775, 0.830),
        (0.210, 0.290, 0.265, 0.635, 0.660, 0.730),
        (0.210, 0.300, 0.270, 0.655, 0.675, 0.730),
    ),
    "fgsm-randaugment": (
        "fgsm",
        (0.125, 0.350, 0.200, 0.410, 0.535, 0.690),
        (0.100, 0.240, 0.190, 0.320, 0.455, 0.575),
        (0.100, 0.260, 0.195, 0.320, 0.465, 0.585),
    ),
}
"""Recorded six-epoch runs on 200 digits: attack, then natural, PGD and one-step test accuracy."""


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_run_alarms_nobody(name: str) -> None:
    attack, natural, pgd, one_step = QUICK[name]
    points = []
    for index, lr in enumerate(piecewise(6)):
        point = Point(
            natural[index],
            pgd[index] if pgd else None,
            one_step[index] if one_step else None,
            robust=(0.18, 0.37, 0.43, 0.49, 0.60, 0.66)[index] if pgd else None,
            high=(0.07, 0.23, 0.32, 0.42, 0.48, 0.49)[index],
            transformed=(None, None, 0.0, 0.20, 0.25, 0.24)[index],
            lr=lr,
        )
        points.append(point)
    assert watch(run(points), Context(attack=attack, test_size=200)) == ()


def test_a_small_test_set_that_is_all_right_once_proves_nothing() -> None:
    points = [replace(p, natural=1.0 if e < 58 else 0.985) for e, p in enumerate(healthy_natural())]
    assert watch(run(points), replace(NATURAL, test_size=200)) == ()


# All together

SCENES = {
    "collapse": (collapse(), FGSM),
    "weak collapse": (collapse(one_step=False), FGSM),
    "robust": (robust_overfitting(), PGD),
    "natural": (natural_overfitting(), NATURAL),
    "jump": (jump(), NATURAL),
    "divergence": ([*healthy_pgd()[:20], *[Point(0.1, 0.1, robust=0.1, loss=9.0, robust_loss=9.0)] * 8], PGD),
}


@pytest.mark.parametrize("scene", SCENES)
def test_findings_stay_where_they_are_as_epochs_come(scene: str) -> None:
    points, context = SCENES[scene]
    epochs = run(noisy(points, 10_000, 7))
    told: list[tuple[str, int]] = []
    for done in range(len(epochs) + 1):
        now = kinds(watch(epochs[:done], context))
        assert [one for one in told if one not in now] == []
        told = now
    assert told


def test_a_resume_takes_back_what_is_done_again() -> None:
    epochs = run(collapse())
    assert watch(epochs[:30], FGSM) == ()
    assert watch(epochs[:30] + run(healthy_fgsm())[30:], FGSM) == ()


def test_findings_come_in_order_of_epoch() -> None:
    points = [replace(p, high=j.high, transformed=j.transformed) for p, j in zip(collapse(), jump()[:60], strict=True)]
    points[45] = replace(points[45], loss=None)
    points[54:] = [replace(p, high=0.95, transformed=0.4) for p in points[54:]]
    assert kinds(watch(run(points), FGSM)) == [("CO", 34), ("diverged", 46), ("memorizing", 55)]


def test_every_kind_has_a_badge() -> None:
    assert sorted(BADGES.values()) == ["CO", "NO", "RO", "diverged", "memorizing"]


ANYTHING = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SHARE = st.floats(-2, 2)
ANY_POINT = st.builds(
    Point,
    natural=SHARE,
    pgd=st.none() | SHARE,
    one_step=ANYTHING,
    train=SHARE,
    robust=ANYTHING,
    loss=ANYTHING,
    robust_loss=ANYTHING,
    test_loss=ANYTHING,
    lr=SHARE,
    high=SHARE,
    transformed=st.none() | SHARE,
    tested=st.booleans(),
)


BELOW_NOTHING = [Point(0.0, -1.0), Point(0.0, -0.5), Point(0.0, -1.0, 0.0)]


@example(BELOW_NOTHING, PGD, 3)
@given(st.lists(ANY_POINT, max_size=25), st.sampled_from([NATURAL, PGD, FGSM]), st.integers(0, 100))
def test_whatever_the_numbers_the_watch_does_not_fail(points: list[Point], context: Context, size: int) -> None:
    found = watch(run(points), replace(context, test_size=size))
    assert [one.epoch for one in found] == sorted(one.epoch for one in found)
    assert all(1 <= one.epoch <= len(points) and one.reason for one in found)


# Context


def test_the_context_has_the_defaults_of_the_settings() -> None:
    event = started()
    assert context_of({}, event) == context_of(Settings().to_dict(), event) == Context("pgd", 20, 10)
    assert context_of({}).classes == context_of(Settings().to_dict()).classes


def test_the_context_comes_from_settings_and_start() -> None:
    tables: dict[str, Any] = {"attack": {"name": "none"}, "data": {"dataset": "cifar100", "test_images": 500}}
    assert context_of(tables) == Context("none", 500, 100)
    assert context_of(tables, started()) == Context("none", 20, 10)


@pytest.mark.parametrize(
    "tables", [{"attack": 3, "data": "x"}, {"attack": {"name": 1}, "data": {"test_images": "all"}}]
)
def test_damaged_settings_count_as_missing(tables: dict[str, Any]) -> None:
    assert context_of(tables) == context_of({})


def test_the_watch_is_cheap_to_import() -> None:
    code = "import sys, domcli.overfitting; print([m for m in ('pydantic', 'numpy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
