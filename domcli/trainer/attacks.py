"""PGD and RS-FGSM in the L-infinity and L2 norms (paper, Equation 2), on batches of images in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from domcli.catalogue import ATTACKS
from domcli.settings import AttackSettings, EvaluationSettings
from domcli.trainer.passes import LossOf

TINY = 1e-10
"""Keeps the L2 step finite where the gradient vanishes."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Images of a batch that are attacked apart from the others, from the random starts that they have in the batch."""

    batch: int
    """Images of the whole batch."""
    index: Tensor
    """Which of them these are: int64, on their device, where it may be filled anew before the next attack."""


@dataclass(frozen=True)
class Attack:
    """An attack in image units: `epsilon` and `alpha` are for images in [0, 1]."""

    norm: Literal["linf", "l2"]
    epsilon: float
    alpha: float
    steps: int
    restarts: int
    piece: Piece | None = None
    """What the images are of their batch, if not the whole."""

    @classmethod
    def for_training(cls, settings: AttackSettings) -> Attack:
        """Return the training attack."""
        steps = ATTACKS[settings.name].steps(settings.steps)
        return cls(settings.norm, settings.epsilon / 255, settings.alpha / 255, steps, settings.restarts)

    @classmethod
    def for_evaluation(cls, attack: AttackSettings, evaluation: EvaluationSettings) -> Attack:
        """Return PGD as the test set sees it: the training's norm and radius, the evaluation's steps."""
        return cls(attack.norm, attack.epsilon / 255, evaluation.alpha / 255, evaluation.steps, evaluation.restarts)


def perturb(loss_of: LossOf, images: Tensor, labels: Tensor, attack: Attack) -> Tensor:
    """Return the adversarial perturbation of each image, N x C x H x W.

    With several restarts each image keeps the perturbation with the highest loss; only then is a forward pass spent
    on finding out.
    """
    perturbation = perturb_from(random_start(images, attack), loss_of, images, labels, attack)
    if attack.restarts == 1:
        return perturbation
    highest = _loss_at(loss_of, images + perturbation, labels)
    for _ in range(attack.restarts - 1):
        candidate = perturb_from(random_start(images, attack), loss_of, images, labels, attack)
        loss = _loss_at(loss_of, images + candidate, labels)
        better = loss > highest
        perturbation = torch.where(better.view(-1, 1, 1, 1), candidate, perturbation)
        highest = torch.maximum(highest, loss)
    return perturbation


def perturb_from(noise: Tensor, loss_of: LossOf, images: Tensor, labels: Tensor, attack: Attack) -> Tensor:
    """Return the perturbation that `attack.steps` gradient steps make of a random start, images kept in [0, 1]."""
    perturbation = clip_to_images(noise, images)
    for _ in range(attack.steps):
        gradient = input_gradient(loss_of, images + perturbation, labels)
        perturbation = clip_to_images(ascend(perturbation, gradient, attack), images)
    return perturbation


def random_start(images: Tensor, attack: Attack) -> Tensor:
    """Return noise: uniform in the cube for L-infinity; a uniform direction with a uniform radius for L2.

    For a piece the noise of the whole batch is drawn, since what an image gets depends on how many there are.
    """
    if attack.piece is None:
        return _noise(images, attack)
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    shape = (attack.piece.batch, *images.shape[1:])
    whole = torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=layout)
    return _noise(whole, attack).index_select(0, attack.piece.index).contiguous(memory_format=layout)


def _noise(images: Tensor, attack: Attack) -> Tensor:
    if attack.norm == "linf":
        return torch.empty_like(images).uniform_(-attack.epsilon, attack.epsilon)
    direction = torch.randn_like(images)
    radius = torch.rand(len(images), 1, 1, 1, device=images.device)
    return direction * (radius * attack.epsilon / _norms(direction))


def ascend(perturbation: Tensor, gradient: Tensor, attack: Attack) -> Tensor:
    """Return the perturbation after one step of size alpha along the gradient, projected to the epsilon ball."""
    if attack.norm == "linf":
        return (perturbation + attack.alpha * gradient.sign()).clamp(-attack.epsilon, attack.epsilon)
    moved = perturbation + attack.alpha * gradient / (_norms(gradient) + TINY)
    return moved * (attack.epsilon / _norms(moved).clamp_min(TINY)).clamp_max(1.0)


def clip_to_images(perturbation: Tensor, images: Tensor) -> Tensor:
    """Return the perturbation clipped so that every image stays in [0, 1]."""
    return torch.clamp(perturbation, -images, 1.0 - images)


def input_gradient(loss_of: LossOf, images: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of each image's loss with respect to that image; no weight gradients are computed."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        loss = loss_of(images, labels).sum()
    (gradient,) = torch.autograd.grad(loss, images)
    return gradient


def _norms(batch: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(batch, dim=(1, 2, 3), keepdim=True)
    return norms


@torch.no_grad()
def _loss_at(loss_of: LossOf, images: Tensor, labels: Tensor) -> Tensor:
    return loss_of(images, labels)
