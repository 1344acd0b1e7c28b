"""Properties that every attack must have, whatever the network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from domcli.settings import AttackSettings, EvaluationSettings
from domcli.trainer.attacks import Attack, ascend, clip_to_images, input_gradient, perturb, random_start
from domcli.trainer.models import Classifier
from domcli.trainer.passes import loss_of

IMAGES = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(16) % 10


def linear_classifier() -> Classifier:
    torch.manual_seed(2)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), (0.5,) * 3, (0.25,) * 3)


def norms(batch: Tensor) -> Tensor:
    return batch.flatten(1).norm(dim=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("restarts", [1, 3])
def test_perturbations_stay_in_the_ball_and_the_image(norm: str, restarts: int) -> None:
    attack = Attack(norm, 0.1 if norm == "linf" else 0.5, 0.05, 5, restarts)
    perturbation = perturb(loss_of(linear_classifier()), IMAGES, LABELS, attack)
    size = perturbation.abs().amax() if norm == "linf" else norms(perturbation).amax()
    assert size <= attack.epsilon + 1e-6
    assert size > attack.epsilon / 2
    attacked = IMAGES + perturbation
    assert attacked.min() >= -1e-6
    assert attacked.max() <= 1 + 1e-6


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_attack_raises_the_loss_of_every_image(norm: str) -> None:
    loss = loss_of(linear_classifier())
    attack = Attack(norm, 0.1 if norm == "linf" else 1.0, 0.05, 10, 1)
    perturbation = perturb(loss, IMAGES, LABELS, attack)
    assert (loss(IMAGES + perturbation, LABELS) > loss(IMAGES, LABELS)).all()


def test_each_image_keeps_the_restart_with_the_highest_loss() -> None:
    loss = loss_of(linear_classifier())
    found = []
    for restarts in (1, 4):
        torch.manual_seed(5)
        attack = Attack("linf", 0.1, 1e-4, 1, restarts)  # hardly moves: the start decides
        found.append(loss(IMAGES + perturb(loss, IMAGES, LABELS, attack), LABELS))
    assert (found[1] >= found[0] - 1e-6).all()
    assert (found[1] > found[0] + 1e-4).any()


@pytest.mark.parametrize("restarts", [1, 3])
def test_forward_passes_are_spent_on_choosing_only_with_several_restarts(restarts: int) -> None:
    calls = []
    classifier = linear_classifier()

    def counting(images: Tensor, labels: Tensor) -> Tensor:
        calls.append(torch.is_grad_enabled())
        return loss_of(classifier)(images, labels)

    perturb(counting, IMAGES, LABELS, Attack("linf", 0.1, 0.02, 4, restarts))
    assert calls.count(True) == 4 * restarts
    assert calls.count(False) == (0 if restarts == 1 else restarts)


def test_the_input_gradient_leaves_the_weights_alone_and_works_without_grad_mode() -> None:
    classifier = linear_classifier()
    with torch.no_grad():
        gradient = input_gradient(loss_of(classifier), IMAGES, LABELS)
    assert gradient.shape == IMAGES.shape
    assert gradient.abs().sum() > 0
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_the_random_start_is_uniform_in_the_cube() -> None:
    torch.manual_seed(0)
    noise = random_start(torch.zeros(64, 3, 16, 16), Attack("linf", 0.1, 0.1, 1, 1))
    assert noise.abs().max() <= 0.1
    assert noise.std() == pytest.approx(0.1 / 3**0.5, rel=0.02)


def test_the_random_start_has_a_uniform_radius_in_l2() -> None:
    torch.manual_seed(0)
    radius = norms(random_start(torch.zeros(4000, 1, 4, 4), Attack("l2", 2.0, 0.1, 1, 1)))
    assert radius.max() <= 2.0 + 1e-5
    assert radius.mean() == pytest.approx(1.0, abs=0.05)
    assert (radius < 0.5).float().mean() == pytest.approx(0.25, abs=0.03)


def test_l2_steps_have_length_alpha_and_are_projected() -> None:
    attack = Attack("l2", 1.0, 0.25, 1, 1)
    gradient = torch.randn(5, 3, 4, 4)
    assert norms(ascend(torch.zeros(5, 3, 4, 4), gradient, attack)) == pytest.approx([0.25] * 5, abs=1e-4)
    at_the_edge = gradient / norms(gradient).view(-1, 1, 1, 1)
    assert norms(ascend(at_the_edge, gradient, attack)) == pytest.approx([1.0] * 5, abs=1e-4)


def test_a_vanishing_gradient_moves_nothing() -> None:
    zero = torch.zeros(2, 3, 4, 4)
    assert torch.equal(ascend(zero, zero, Attack("l2", 1.0, 0.25, 1, 1)), zero)
    assert torch.equal(ascend(zero, zero, Attack("linf", 1.0, 0.25, 1, 1)), zero)


def test_clipping_keeps_the_image_in_range() -> None:
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    clipped = clip_to_images(torch.full((3, 1, 1, 1), 0.75), images)
    assert clipped.flatten().tolist() == [0.75, 0.5, 0.0]


def test_settings_are_in_255ths_for_both_norms() -> None:
    attack = Attack.for_training(AttackSettings(name="pgd", norm="l2", epsilon=128, alpha=15, steps=7, restarts=2))
    assert (attack.norm, attack.steps, attack.restarts) == ("l2", 7, 2)
    assert attack.epsilon == pytest.approx(0.501961, abs=1e-6)
    assert attack.alpha == pytest.approx(15 / 255)


def test_fgsm_takes_one_step_and_evaluation_its_own() -> None:
    settings = AttackSettings(name="fgsm", alpha=10, steps=10)
    assert Attack.for_training(settings).steps == 1
    tested = Attack.for_evaluation(settings, EvaluationSettings(alpha=2, steps=20, restarts=3))
    assert (tested.steps, tested.restarts) == (20, 3)
    assert tested.alpha == pytest.approx(2 / 255)
    assert tested.epsilon == pytest.approx(8 / 255)
