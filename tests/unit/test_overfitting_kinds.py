from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from overfitting_curves import (
    FGSM,
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
    line,
    natural_overfitting,
    noisy,
    robust_overfitting,
    run,
    the_one,
)

from domcli.overfitting import watch

# Catastrophic overfitting


def test_a_collapse_is_named_with_its_epoch_and_numbers() -> None:
    found = the_one(watch(run(collapse()), FGSM))
    assert (found.kind, found.badge, found.epoch, found.severity) == ("catastrophic-overfitting", "CO", 34, "critical")
    best = max(healthy_fgsm()[:32], key=lambda point: point.pgd or 0)
    assert best.pgd == pytest.approx(0.386)
    assert found.reason == (
        "PGD test accuracy collapsed from 38.6 % (epoch 32) to 1.0 % (epoch 35) "
        "while one-step test accuracy went from 48.6 % to 71.0 %"
    )


def test_a_collapse_is_told_as_soon_as_it_is_complete() -> None:
    epochs = run(collapse())
    assert watch(epochs[:34], FGSM) == ()
    assert kinds(watch(epochs[:35], FGSM)) == [("CO", 34)]


def test_without_one_step_accuracy_a_collapse_needs_a_second_evaluation() -> None:
    epochs = run(collapse(one_step=False))
    assert watch(epochs[:35], FGSM) == ()
    found = the_one(watch(epochs[:36], FGSM))
    assert (found.badge, found.epoch) == ("CO", 34)
    assert found.reason.endswith("while robust training accuracy went from 43.6 % to 85.0 %")


@pytest.mark.parametrize("size", [200, 1000, 10_000])
@pytest.mark.parametrize("one_step", [True, False])
def test_a_collapse_is_found_in_the_noise(size: int, one_step: bool) -> None:
    context = replace(FGSM, test_size=size)
    for seed in range(50):
        found = the_one(watch(run(noisy(collapse(one_step), size, seed)), context))
        assert (found.badge, found.epoch) in [("CO", 34), ("CO", 35)]


def test_a_collapse_is_found_when_evaluated_seldom() -> None:
    assert kinds(watch(run(every(collapse(), 5)), FGSM)) == [("CO", 35)]
    assert kinds(watch(run(every(collapse(one_step=False), 5)), FGSM)) == [("CO", 35)]


def test_a_small_network_at_a_large_epsilon_collapses_from_little() -> None:
    """Width 16, 5,000 images, epsilon 16: there are 16 % to lose, and natural accuracy suffers too."""
    pgd = [0.08, 0.11, 0.12, 0.13, 0.15, 0.14, 0.16, 0.15, 0.16, 0.13, 0.09, 0.05, 0.02, 0.0, 0.0, 0.0]
    one = [0.10, 0.13, 0.14, 0.16, 0.17, 0.17, 0.19, 0.19, 0.20, 0.22, 0.27, 0.35, 0.45, 0.52, 0.60, 0.66]
    points = [Point(0.3 - o / 4, p, o, robust=o) for p, o in zip(pgd, one, strict=True)]
    found = the_one(watch(run(points), replace(FGSM, test_size=500)))
    assert (found.badge, found.epoch) == ("CO", 12)


def test_a_collapse_that_recovers_is_kept_with_less_weight() -> None:
    points = collapse()[:36] + [replace(p, pgd=0.35, one_step=0.5, robust=0.45) for p in collapse()[36:40]]
    found = the_one(watch(run(points), FGSM))
    assert (found.badge, found.epoch, found.severity) == ("CO", 34, "warning")
    assert found.reason.endswith("; it is back at 35.0 % in epoch 40")


@pytest.mark.parametrize("one_step", [True, False])
def test_a_bad_epoch_in_which_everything_falls_is_no_collapse(one_step: bool) -> None:
    """A step too large leaves batch norm off: the test set is guessed at, training goes on."""
    points = healthy_fgsm()
    for number in (20, 31, 32):
        points[number - 1] = replace(points[number - 1], natural=0.11, pgd=0.02, one_step=0.05)
    points = points if one_step else [replace(point, one_step=None) for point in points]
    assert watch(run(points), FGSM) == ()


def test_a_network_that_falls_apart_is_no_collapse() -> None:
    points = healthy_pgd()[:40] + [Point(0.4, 0.03, robust=0.12, loss=2.2)] * 10
    assert watch(run(points), PGD) == ()


def test_natural_training_has_no_robustness_to_lose() -> None:
    points = [replace(p, pgd=0.3 if e < 20 else 0.0, one_step=0.3) for e, p in enumerate(healthy_natural())]
    assert watch(run(points), NATURAL) == ()


# Robust and natural overfitting


def test_robust_overfitting_is_named_with_its_best_epoch_and_numbers() -> None:
    found = the_one(watch(run(robust_overfitting()), PGD))
    assert (found.kind, found.badge, found.epoch, found.severity) == ("robust-overfitting", "RO", 103, "warning")
    assert found.reason == (
        "PGD test accuracy fell from 51.9 % around epoch 103 to 45.1 % (medians of 5 evaluations) after the learning "
        "rate went down in epoch 101, while robust training accuracy rose from 50.7 % to 84.3 %"
    )


@pytest.mark.parametrize(("size", "by"), [(1000, 200), (10_000, 150)])
def test_robust_overfitting_is_found_in_the_noise(size: int, by: int) -> None:
    context = replace(PGD, test_size=size)
    finds = [watch(run(noisy(robust_overfitting(), size, seed)[:by]), context) for seed in range(20)]
    assert [badge for found in finds for badge, epoch in kinds(found) if 96 <= epoch <= 125].count("RO") >= 18
    assert {one.badge for found in finds for one in found} == {"RO"}


def test_robust_overfitting_is_found_when_evaluated_seldom() -> None:
    assert kinds(watch(run(every(robust_overfitting(), 5)), PGD)) == [("RO", 105)]


def test_a_test_set_too_small_to_tell_says_nothing() -> None:
    assert watch(run(robust_overfitting()), replace(PGD, test_size=100)) == ()


def test_a_small_wavering_around_the_best_is_nothing() -> None:
    points = [
        replace(p, pgd=0.52 + 0.009 * (-1) ** (e // 9)) if e >= 100 else p for e, p in enumerate(robust_overfitting())
    ]
    assert watch(run(points), PGD) == ()


def test_a_fall_with_the_training_accuracy_is_not_overfitting() -> None:
    points = [replace(p, robust=0.6 - e / 1000) for e, p in enumerate(robust_overfitting())]
    assert watch(run(points), PGD) == ()


def test_a_fall_before_the_learning_rate_goes_down_is_not_robust_overfitting() -> None:
    points = [replace(p, lr=0.1) for p in robust_overfitting()]
    assert watch(run(points), PGD) == ()


def test_robust_overfitting_that_mends_is_only_a_notice() -> None:
    points = robust_overfitting()[:180] + [replace(p, pgd=0.518) for p in robust_overfitting()[180:]]
    found = the_one(watch(run(points), PGD))
    assert (found.badge, found.epoch, found.severity) == ("RO", 103, "notice")
    assert found.reason.endswith("; it is back at 51.8 % now")


def test_robust_overfitting_before_a_collapse_is_kept() -> None:
    points = robust_overfitting()[:160] + [replace(p, pgd=0.0) for p in robust_overfitting()[160:]]
    assert kinds(watch(run(points), PGD)) == [("RO", 103), ("CO", 161)]


def test_a_slow_collapse_is_not_called_robust_overfitting_as_well() -> None:
    points = healthy_fgsm()[:40] + [Point(0.8, p, 0.7, robust=0.7, lr=0.01) for p in line((1, 0.3), (20, 0.0))]
    assert [badge for badge, _ in kinds(watch(run(points), FGSM))] == ["CO"]


def test_natural_overfitting_has_its_own_name() -> None:
    found = the_one(watch(run(natural_overfitting()), NATURAL))
    assert (found.kind, found.badge, found.epoch) == ("natural-overfitting", "NO", 78)
    assert found.reason.startswith("natural test accuracy fell from 94.7 % around epoch 78 to 93.6 % (medians of 5")


def test_adversarial_training_is_judged_by_its_robust_accuracy() -> None:
    points = [replace(p, pgd=0.5, robust=0.5) for p in natural_overfitting()]
    assert watch(run(points), PGD) == ()


# Memorization


def test_a_jump_in_transformed_patterns_is_named() -> None:
    found = the_one(watch(run(jump()), NATURAL))
    assert (found.kind, found.badge, found.epoch, found.severity) == ("memorization-jump", "memorizing", 60, "notice")
    assert found.reason == (
        "transformed high-confidence patterns went from 13.3 % to 28.5 % of the training set between epochs 59 and 60 "
        "(all high-confidence patterns from 66.5 % to 81.7 %), while natural test accuracy only went from 93.2 % to "
        "93.3 %"
    )


def test_a_jump_may_take_three_epochs() -> None:
    points = healthy_natural()
    for index, more in enumerate([0.05, 0.1, *[0.15] * 39], 59):
        high, transformed = points[index].high + more, (points[index].transformed or 0) + more
        points[index] = replace(points[index], high=high, transformed=transformed)
    assert kinds(watch(run(points), NATURAL)) == [("memorizing", 60)]


def test_the_jump_at_the_end_of_the_warm_up_counts() -> None:
    """The paper's own case: warm-up and first decay end together, and a quarter of the patterns turns at once."""
    assert kinds(watch(run(jump(51)), NATURAL)) == [("memorizing", 51)]


def test_every_jump_is_told_once() -> None:
    points = jump(53)
    for index in range(79, 100):
        high, transformed = points[index].high - 0.2, points[index].transformed or 0.0
        points[index] = replace(points[index - 50], natural=0.94, high=high, transformed=transformed, lr=0.001)
    for index in range(89, 100):
        more = 0.2 + points[index].high
        points[index] = replace(points[index], high=more, transformed=(points[index].transformed or 0) + 0.2)
    assert kinds(watch(run(points), NATURAL)) == [("memorizing", 53), ("memorizing", 90)]


def test_patterns_that_only_change_places_are_no_jump() -> None:
    points = [replace(p, high=0.65) for p in jump()]
    assert watch(run(points), NATURAL) == ()


def test_a_slow_growth_is_no_jump() -> None:
    growth = [None] * 49 + line((1, 0), (51, 0.5))
    points = [replace(p, high=0.4 + (t or 0), transformed=t) for p, t in zip(healthy_natural(), growth, strict=True)]
    assert watch(run(points), NATURAL) == ()


def test_patterns_learned_along_with_the_test_set_are_no_jump() -> None:
    points = [replace(p, natural=0.7 if e < 59 else 0.95) for e, p in enumerate(jump())]
    assert watch(run(points), NATURAL) == ()


def test_a_run_without_a_memorization_record_is_watched_for_the_rest() -> None:
    epochs = tuple(msgspec.structs.replace(epoch, memorization=None) for epoch in run(collapse()))
    assert kinds(watch(epochs, FGSM)) == [("CO", 34)]
    epochs = tuple(msgspec.structs.replace(epoch, memorization=None) for epoch in run(jump()))
    assert watch(epochs, NATURAL) == ()


# Divergence


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"loss": None}, "natural training loss"),
        ({"robust_loss": None}, "robust training loss"),
        ({"test_loss": None}, "natural test loss"),
    ],
)
def test_a_loss_that_is_not_finite_is_divergence(change: dict[str, Any], name: str) -> None:
    points = healthy_pgd()[:20]
    points[11] = replace(points[11], **change)
    found = the_one(watch(run(points), PGD))
    assert (found.kind, found.badge, found.epoch, found.severity) == ("divergence", "diverged", 12, "critical")
    assert found.reason == f"the {name} is not finite in epoch 12"


def test_a_loss_that_explodes_and_stays_is_divergence() -> None:
    points = healthy_natural()[:10] + [replace(healthy_natural()[10], loss=loss) for loss in (4.0, 9.0, 6.0, 6.0)]
    assert watch(run(points)[:12], NATURAL) == ()
    found = the_one(watch(run(points), NATURAL))
    assert (found.badge, found.epoch) == ("diverged", 11)
    assert found.reason == (
        "the training loss is 6.00 in epoch 13, no better than the 2.30 of guessing, "
        "and was 0.52 at its best before epoch 11"
    )


def test_a_loss_that_never_was_sane_is_divergence() -> None:
    found = the_one(watch(run([Point(0.1, loss=5.0)] * 3), NATURAL))
    assert (found.badge, found.epoch) == ("diverged", 1)


def test_a_trained_network_that_guesses_again_has_diverged() -> None:
    points = healthy_natural()[:10] + [replace(healthy_natural()[10], loss=2.304)] * 3
    assert kinds(watch(run(points), NATURAL)) == [("diverged", 11)]


def test_a_network_that_guesses_from_the_start_has_not_diverged() -> None:
    assert watch(run([Point(0.1, 0.1, robust=0.1, loss=2.31, robust_loss=2.33)] * 30), PGD) == ()
    points = [Point(0.05, 0.01, robust=0.01, loss=3.9, robust_loss=4.2)] * 30
    assert watch(run(points), replace(PGD, classes=100)) == ()


def test_a_loss_that_explodes_for_an_epoch_or_two_is_nothing() -> None:
    points = healthy_natural()
    points[2], points[20], points[21] = (replace(points[i], loss=5.0) for i in (2, 20, 21))
    assert watch(run(points), NATURAL) == ()


def test_augmented_images_may_have_a_high_loss() -> None:
    points = [replace(p, robust_loss=4.0) for p in healthy_pgd()]
    assert watch(run(points), PGD) == ()
