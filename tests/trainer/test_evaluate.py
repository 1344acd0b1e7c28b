"""Evaluation: exact sums over unequal batches, the right attacks, and a network left as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import out_of_memory
import pytest
import tiny
import torch
import torch.nn.functional as F

from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import BATCH, Attacks, Draws, Pieces, evaluate
from domcli.trainer.fast.recorded import RecordingEngine
from domcli.trainer.seeding import Purpose

DRAWS = Draws(seed=0, purpose=Purpose.TEST, epoch=0)


def nothing(done: int, batches: int) -> None:
    assert 1 <= done <= batches


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> tiny.Training:
    monkeypatch.setitem(BATCH, "cpu", 7)
    return tiny.training("fgsm-dom-re", "model.width=8", "attack.alpha=10")


def measure(training: tiny.Training, attacks: Attacks, draws: Draws = DRAWS) -> tiny.Any:
    return evaluate(training.classifier, training.dataset.test, attacks, Engine(training).measure, draws, nothing)


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


Measure = Callable[[torch.Tensor, torch.Tensor, Attacks], torch.Tensor]


class Memory:
    """Measures at most so many images at once, as a small GPU would, and notes how many it was given."""

    def __init__(self, measure: Measure, most: int, error: Exception | None = None) -> None:
        self.tried: list[int] = []
        self._measure, self._most = measure, most
        self._error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def __call__(self, pixels: torch.Tensor, labels: torch.Tensor, attacks: Attacks) -> torch.Tensor:
        self.tried.append(len(labels))
        if len(labels) > self._most:
            raise self._error
        return self._measure(pixels, labels, attacks)


def with_memory(training: tiny.Training, memory: Measure, pieces: Pieces, attacks: Attacks) -> tiny.Any:
    return evaluate(training.classifier, training.dataset.test, attacks, memory, DRAWS, nothing, pieces)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("most", [6, 3, 1])
def test_where_memory_does_not_suffice_the_numbers_are_the_same(
    trained: tiny.Training, monkeypatch: pytest.MonkeyPatch, norm: tiny.Any, most: int
) -> None:
    monkeypatch.setitem(BATCH, "cpu", 12)
    found = Attacks.on_test_set(tiny.settings("fgsm-dom-re", "evaluation.steps=2", "evaluation.restarts=3"))
    assert found.pgd is not None
    assert found.one_step is not None
    attacks = Attacks(replace(found.pgd, norm=norm), replace(found.one_step, norm=norm))
    expected = measure(trained, attacks)
    memory, pieces = Memory(Engine(trained).measure, most), Pieces(trained.device)
    metrics = with_memory(trained, memory, pieces, attacks)
    for key in ("natural_accuracy", "pgd_accuracy", "one_step_accuracy"):
        assert getattr(metrics, key) == getattr(expected, key)
    for key in ("natural_loss", "pgd_loss", "one_step_loss"):
        assert getattr(metrics, key) == pytest.approx(getattr(expected, key), rel=1e-6)
    assert sum(size for size in memory.tried if size <= most) == 20
    assert pieces.size == most


def test_a_size_that_suffices_is_kept(trained: tiny.Training) -> None:
    attacks, pieces = Attacks.on_test_set(trained.settings), Pieces(trained.device)
    assert pieces.describe() == {"evaluation_batch": 7}
    memory = Memory(Engine(trained).measure, 3)
    with_memory(trained, memory, pieces, attacks)
    assert memory.tried == [7, 4, 2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2]
    assert pieces.describe() == {"evaluation_batch": 2}
    memory.tried.clear()
    with_memory(trained, memory, pieces, attacks)
    assert memory.tried == [2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2]


def test_pieces_of_a_size_are_recorded_once(trained: tiny.Training) -> None:
    recorded: list[int] = []

    def recording(function: tiny.Any, inputs: tiny.Any, changed: tiny.Any) -> tiny.Any:
        recorded.append(len(inputs[0]))
        return function

    engine = RecordingEngine(trained, recording)
    attacks, pieces = Attacks.on_test_set(trained.settings), Pieces(trained.device)
    expected = measure(trained, attacks)
    memory = Memory(engine.measure, 3)
    first, again = (with_memory(trained, memory, pieces, attacks) for _ in range(2))
    assert first == again
    assert first.pgd_loss == pytest.approx(expected.pgd_loss, rel=1e-6)
    assert sorted(recorded) == [1, 2, 2]  # the last batch is smaller, and pieces of it are of another whole


def test_memory_that_does_not_suffice_for_one_image_is_an_error(trained: tiny.Training) -> None:
    memory = Memory(Engine(trained).measure, 0)
    with pytest.raises(torch.OutOfMemoryError):
        with_memory(trained, memory, Pieces(trained.device), Attacks())
    assert memory.tried == [7, 4, 2, 1]
    assert trained.classifier.training


@pytest.mark.parametrize("error", [*out_of_memory.GPU, *out_of_memory.MACHINE], ids=out_of_memory.name)
def test_whatever_says_that_memory_ran_out_halves_a_batch(trained: tiny.Training, error: Exception) -> None:
    memory = Memory(Engine(trained).measure, 4, error)
    assert with_memory(trained, memory, Pieces(trained.device), Attacks()).natural_accuracy >= 0
    assert memory.tried == [7, 4, 3, 4, 3, 4, 2]


@pytest.mark.parametrize("error", out_of_memory.OTHER, ids=out_of_memory.name)
def test_other_errors_go_up_at_once(trained: tiny.Training, error: Exception) -> None:
    memory = Memory(Engine(trained).measure, 4, error)
    with pytest.raises(type(error)):
        with_memory(trained, memory, Pieces(trained.device), Attacks())
    assert memory.tried == [7]
