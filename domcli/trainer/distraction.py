"""Distraction Over-Memorization (paper, Section 4, Algorithm 1): which patterns are high-confidence, and what then."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from domcli.trainer.attacks import LossOf


def kept_patterns(natural_loss: Tensor, threshold: float) -> Tensor:
    """Return which patterns DOM_RE keeps, N booleans: a natural loss of exactly the threshold is kept."""
    return natural_loss >= threshold


def patterns_to_augment(natural_loss: Tensor, threshold: float) -> Tensor:
    """Return which patterns DOM_DA augments, N booleans: a natural loss of exactly the threshold is augmented."""
    return natural_loss <= threshold


def removal_loss(losses: Tensor, kept: Tensor) -> Tensor:
    """Return the scalar loss of DOM_RE: removed patterns count as zero, the mean is over the whole batch."""
    return (losses * kept).mean()


@torch.no_grad()
def augment_iteratively(
    images: Tensor,
    labels: Tensor,
    natural_loss: Tensor,
    loss_of: LossOf,
    augment: Callable[[Tensor], Tensor],
    *,
    threshold: float,
    iterations: int,
    strength: float,
) -> Tensor:
    """Return the images with the high-confidence ones augmented until the model is less sure of them (DOM_DA).

    `augment` takes and returns float images in [0, 1]; `loss_of` is asked about the augmented subset alone. A pattern
    whose augmented loss reaches the threshold takes the augmented image and is done; the others take the mix of
    their current and augmented image with weight `strength` (beta), or the augmented image in the last iteration.
    """
    images = images.clone()
    todo = patterns_to_augment(natural_loss, threshold).nonzero().squeeze(1)
    for iteration in range(1, iterations + 1):
        if len(todo) == 0:
            break
        current = images[todo]
        augmented = augment(current)
        done = kept_patterns(loss_of(augmented, labels[todo]), threshold)
        beta = 1.0 if iteration == iterations else strength
        mixed = current * (1 - beta) + augmented * beta
        images[todo] = torch.where(done.view(-1, 1, 1, 1), augmented, mixed)
        todo = todo[~done]
    return images
