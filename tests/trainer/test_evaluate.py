"""Evaluation: exact sums over unequal batches, the right attacks, and a network left as it was."""

from __future__ import annotations

import pytest
import tiny
import torch
import torch.nn.functional as F

from domcli.trainer.evaluate import BATCH, Attacks, Draws, evaluate
from domcli.trainer.seeding import Purpose

DRAWS = Draws(seed=0, purpose=Purpose.TEST, epoch=0)


def nothing(done: int, batches: int) -> None:
    assert 1 <= done <= batches


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> tiny.Training:
    monkeypatch.setitem(BATCH, "cpu", 7)
    return tiny.training("fgsm-dom-re", "model.width=8", "attack.alpha=10")


def measure(training: tiny.Training, attacks: Attacks, draws: Draws = DRAWS) -> tiny.Any:
    return evaluate(training.classifier, training.dataset.test, attacks, training.engine.measure, draws, nothing)


def test_natural_metrics_are_means_over_all_images(trained: tiny.Training) -> None:
    metrics = measure(trained, Attacks())
    classifier = trained.classifier.eval()
    images, labels = trained.dataset.test.images.float() / 255, trained.dataset.test.labels
    logits = classifier(images)
    assert metrics.natural_loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert metrics.natural_accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert (metrics.pgd_loss, metrics.pgd_accuracy, metrics.one_step_accuracy) == (None, None, None)


def test_attacks_hurt_and_pgd_hurts_more_than_one_step(trained: tiny.Training) -> None:
    metrics = measure(trained, Attacks.on_test_set(tiny.settings("fgsm-dom-re", "evaluation.steps=20")))
    assert metrics.natural_loss < metrics.one_step_loss <= metrics.pgd_loss + 1e-4
    assert metrics.pgd_accuracy <= metrics.natural_accuracy


def test_the_network_is_left_as_it_was(trained: tiny.Training) -> None:
    before = {name: value.clone() for name, value in trained.classifier.state_dict().items()}
    measure(trained, Attacks.on_test_set(trained.settings))
    assert trained.classifier.training
    assert all(torch.equal(before[name], value) for name, value in trained.classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in trained.classifier.parameters())


def test_the_same_draws_give_the_same_numbers_and_each_epoch_its_own(trained: tiny.Training) -> None:
    attacks = Attacks.on_test_set(trained.settings)
    first, again = measure(trained, attacks), measure(trained, attacks)
    assert first == again
    assert measure(trained, attacks, Draws(0, Purpose.TEST, 1)).pgd_loss != first.pgd_loss


def test_each_paradigm_has_its_attacks() -> None:
    natural = Attacks.on_test_set(tiny.settings("natural-dom-re"))
    assert (natural.pgd, natural.one_step) == (None, None)
    pgd = Attacks.on_test_set(tiny.settings("pgd-dom-re", "evaluation.steps=20"))
    assert pgd.one_step is None
    assert pgd.pgd is not None
    assert (pgd.pgd.steps, pgd.pgd.alpha) == (20, pytest.approx(2 / 255))
    fgsm = Attacks.on_test_set(tiny.settings("fgsm-dom-re"))
    assert fgsm.pgd is not None
    assert fgsm.one_step is not None
    assert (fgsm.one_step.steps, fgsm.one_step.alpha) == (1, pytest.approx(10 / 255))
    assert Attacks.on_test_set(tiny.settings("pgd-dom-re", "evaluation.attack=none")).pgd is None


def test_the_training_set_sees_the_training_attack() -> None:
    pgd = Attacks.on_training_set(tiny.settings("pgd-dom-re", "attack.steps=7", "attack.alpha=3"))
    assert pgd.pgd is not None
    assert (pgd.pgd.steps, pgd.pgd.alpha) == (7, pytest.approx(3 / 255))
    assert Attacks.on_training_set(tiny.settings("natural-dom-re")).pgd is None
    fgsm = tiny.settings("fgsm-dom-re")
    assert Attacks.on_training_set(fgsm) == Attacks.on_test_set(fgsm)
