"""What a benchmark makes of its measurements: estimates of presets, floors, and the time that is left."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from domcli.errors import SettingsError
from domcli.presets import available, resolve
from domcli.settings import ModelSettings
from domcli.timing import work
from domcli.timing.estimate import (
    Measured,
    MeasuredEvaluation,
    MeasuredStep,
    NotMeasured,
    PlainEvaluation,
    against_plain,
    estimate,
    evaluations_of,
    steps_before,
)
from domcli.trainer.bench import floor, remaining
from domcli.trainer.bench.cases import CASES, Options, evaluates
from domcli.trainer.bench.plain import evaluate
from domcli.trainer.models import build

LIMITS = floor.Limits(flops=989e12, flops_source="known", bandwidth=4e12, bandwidth_source="known")


def everything_measured() -> Measured:
    """Return measurements of all cases: the n-th case takes n seconds a step, its evaluation 10 n for 1,000 images."""
    measured = Measured()
    for number, case in enumerate(CASES, start=1):
        settings = resolve(CASES[case])
        measured.add_step(settings, MeasuredStep(case, float(number)))
        if evaluates(settings):
            measured.add_evaluation(settings, MeasuredEvaluation(case, 10.0 * number, 1000))
    return measured


def seconds_of(case: str) -> float:
    return float(list(CASES).index(case) + 1)


def test_a_run_is_its_steps_on_both_sides_of_the_warmup_and_its_evaluations():
    found = estimate(resolve("pgd-dom-augmix", ["train.epochs=10"]), everything_measured())
    plain, distracted = seconds_of("pgd-10"), seconds_of("pgd-10-augmix")
    assert found["steps_per_epoch"] == 391
    assert (found["step_before"], found["step_after"]) == (plain, distracted)
    assert (found["epoch_before"], found["epoch_after"]) == (391 * plain, 391 * distracted)
    # The step that completes the warm-up is the first with DOM.
    assert found["steps_before"] == 5 * 391 - 1
    assert found["evaluation"] == 10 * 10 * plain
    expected = (5 * 391 - 1) * plain + (5 * 391 + 1) * distracted + 10 * found["evaluation"]
    assert found["total"] == pytest.approx(expected)
    assert found["measured"] == ["pgd-10", "pgd-10-augmix", "evaluation beside pgd-10"]
    assert found["extrapolated"] == ["epochs of 391 steps", "the evaluation of 10,000 images, from 1,000"]


def test_an_epoch_of_pgd_training_is_compared_with_the_plain_loop_and_what_the_official_script_evaluates():
    measured, settings = everything_measured(), resolve("pgd-dom-augmix", ["train.epochs=10"])
    found = estimate(settings, measured)
    assert against_plain(settings, measured, found) == {"plain_epoch": None, "epoch_ratio": None}
    measured.add_plain_step(settings, 100.0)
    measured.plain_evaluation = PlainEvaluation(test=0.5, train=0.25)
    plain = 391 * 100.0 + 10_000 * 0.5 + 50_000 * 0.25
    ratio = plain / (found["epoch_after"] + found["evaluation"])
    assert against_plain(settings, measured, found) == {"plain_epoch": plain, "epoch_ratio": pytest.approx(ratio)}
    natural = resolve("natural-dom-re")
    measured.add_plain_step(natural, 100.0)
    assert against_plain(natural, measured, estimate(natural, measured))["plain_epoch"] is None


def test_every_preset_can_be_estimated():
    for preset in available():
        assert estimate(resolve(preset.name), everything_measured())["total"] > 0


def test_augmenting_every_image_is_added_to_steps_of_other_paradigms():
    found = estimate(resolve("fgsm-augmix"), everything_measured())
    added = seconds_of("natural-augmix-all") - seconds_of("natural")
    assert found["step_before"] == found["step_after"] == seconds_of("fgsm") + added
    assert found["put_together"]
    assert "the step, from one without augmix" in found["extrapolated"][1]
    natural = estimate(resolve("natural-augmix"), everything_measured())
    assert natural["step_after"] == seconds_of("natural-augmix-all")
    assert not natural["put_together"]


def test_an_evaluation_of_the_whole_test_set_is_not_called_extrapolated():
    measured = everything_measured()
    settings = resolve("natural-baseline")
    measured.add_evaluation(settings, MeasuredEvaluation("natural", 3.0, 10_000))
    found = estimate(settings, measured)
    assert found["evaluation"] == 3.0
    assert found["extrapolated"] == ["epochs of 391 steps"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.width=32"],
        ["model.name=wideresnet34-10"],
        ["train.batch_size=64"],
        ["train.precision=float32"],
        ["attack.steps=7"],
        ["attack.restarts=2"],
        ["attack.norm=l2"],
        ["dom.iterations=9"],
        ["evaluation.steps=10"],
        ["evaluation.train_attack=true"],
        ["data.dataset=digits"],
    ],
)
def test_what_was_not_measured_is_not_estimated(overrides):
    with pytest.raises(NotMeasured, match="measured"):
        estimate(resolve("pgd-dom-augmix", overrides), everything_measured())


def test_nothing_is_estimated_from_nothing():
    with pytest.raises(NotMeasured, match="a step like its own"):
        estimate(resolve("natural-baseline"), Measured())


@pytest.mark.parametrize(
    ("epochs", "warmup", "steps", "expected"),
    [(10, 0.5, 4, 19), (10, 0.0, 4, 0), (10, 1.0, 4, 39), (3, 0.5, 3, 4), (10, 0.7, 10, 69), (10, 0.3, 10, 29)],
)
def test_steps_before_dom(epochs, warmup, steps, expected):
    settings = resolve("pgd-dom-re", [f"train.epochs={epochs}", f"dom.warmup={warmup}"])
    assert steps_before(settings, steps) == expected


def test_evaluations_of_a_run():
    assert evaluations_of(resolve("pgd-dom-re", ["train.epochs=10"])) == 10
    assert evaluations_of(resolve("pgd-dom-re", ["train.epochs=10", "evaluation.every=4"])) == 3


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("natural-baseline", 3),
        ("natural-dom-re", 3),
        ("natural-dom-augmix", 4.5),
        ("fgsm-baseline", 6),
        ("fgsm-dom-augmix", 6.5),
        ("pgd-dom-re", 24),
        ("pgd-dom-randaugment", 24.5),
    ],
)
def test_passes_that_a_step_needs(preset, expected):
    assert work.step_passes(resolve(preset), high_confidence=0.5).total == expected


@pytest.mark.parametrize(("preset", "expected"), [("natural-baseline", 4), ("fgsm-baseline", 8), ("pgd-baseline", 35)])
def test_passes_that_the_plain_loop_spends(preset, expected):
    assert floor.plain_passes(resolve(preset)) == expected


@pytest.mark.parametrize("steps", [1, 10])
def test_the_plain_evaluation_spends_the_passes_of_the_official_script(steps):
    model, settings = build(ModelSettings(width=4), 3, 10), resolve("pgd-baseline", [f"attack.steps={steps}"])
    narrow = resolve("pgd-baseline", ["model.width=4"])
    images, labels = torch.rand(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        evaluate(model, images, labels, settings.attack)
    passes = counter.get_total_flops() / (2 * len(images) * work.multiply_adds(narrow))
    assert passes == pytest.approx(3 * steps + 3, rel=0.02)
    assert model.training


@pytest.mark.parametrize("width", [3, 4, 20, 64])
def test_multiply_adds_are_those_that_pytorch_counts(width):
    network = build(ModelSettings(width=width), channels=3, classes=10).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, 32, 32, device="meta"))
    assert work.multiply_adds(resolve("pgd-baseline", [f"model.width={width}"])) == counter.get_total_flops() / 2


def test_the_floor_of_the_published_network_is_what_it_always_was():
    found = floor.floor(resolve("pgd-baseline"), 0.5, "bfloat16", LIMITS)
    assert found.flop == 2 * 555_422_720 * 128 * 24
    assert found.bytes == 128 * 614_400 * 2 * (4 * 12 + 7 * 11 + 2) + 11_172_170 * (2 * 24 + 20)


@pytest.mark.parametrize(
    ("preset", "overrides", "expected"),
    [
        ("natural-baseline", [], 1),
        ("natural-baseline", ["evaluation.attack=pgd"], 42),
        ("pgd-dom-re", [], 42),
        ("fgsm-dom-re", [], 45),
        ("pgd-dom-re", ["evaluation.restarts=2"], 84),
    ],
)
def test_passes_that_an_evaluation_needs(preset, overrides, expected):
    assert work.evaluation_passes(resolve(preset, overrides)).total == expected


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("natural-dom-augmix", 0), ("fgsm-dom-re", 1), ("pgd-dom-re", 10), ("pgd-dom-augmix", 10)],
)
def test_gradient_steps_of_attacks_are_among_the_passes(preset, expected):
    assert work.step_passes(resolve(preset), 0.5).of_attacks == expected


def test_floor_of_a_pgd_step_on_an_h200():
    found = floor.floor(resolve("pgd-baseline"), 0.5, "bfloat16", LIMITS)
    assert found.arithmetic == pytest.approx(3.45e-3, rel=0.01)
    assert found.memory == pytest.approx(5.2e-3, rel=0.02)
    assert found.against(2 * found.seconds)["share"] == pytest.approx(0.5)
    assert floor.floor(resolve("pgd-baseline"), 0.5, "float32", LIMITS).bytes > 1.9 * found.bytes


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H200 NVL", 836e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H200 MIG 1g.18gb", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_known_peaks(product, expected):
    assert floor.known_peak(product) == expected


def test_the_rest_is_guessed_first_and_then_measured():
    schedule = remaining.Schedule()
    schedule.plan("plain", 100.0)
    schedule.plan("domcli", 40.0)
    assert (schedule.remaining, schedule.fraction) == (140.0, 0.0)
    schedule.done("domcli", 10.0, 30.0)  # three times slower than guessed; so, it seems, is the plain loop
    assert schedule.remaining == pytest.approx(30 * 3 + 100 * 3)
    schedule.done("plain", 50.0, 25.0)
    assert schedule.remaining == pytest.approx(30 * 3 + 50 * 0.5)
    assert schedule.fraction == pytest.approx(55 / (55 + 115))
    schedule.done("domcli", 30.0, 90.0)
    schedule.done("plain", 50.0, 25.0)
    assert (schedule.remaining, schedule.fraction) == (0.0, 1.0)


def test_quick_leaves_the_slowest_plain_loops_out():
    options, quick = Options(), Options(quick=True)
    assert sum(options.compares(options.settings(case)) for case in options.cases()) == 12
    assert [case for case in quick.cases() if quick.compares(quick.settings(case))] == ["natural", "fgsm"]
    assert quick.pairs_of(quick.settings("pgd-10")) < options.pairs_of(options.settings("pgd-10"))
    assert Options(quick=True, pairs=9).pairs_of(quick.settings("pgd-10")) == 9


def test_cases_keep_their_order_and_an_unknown_one_is_refused():
    assert Options(only=("pgd-10", "natural")).cases() == ("natural", "pgd-10")
    with pytest.raises(SettingsError, match="unknown case 'pgd'; the cases are natural, "):
        Options(only=("pgd",)).cases()
