"""Distraction Over-Memorization (paper, Section 4, Algorithm 1): which patterns are high-confidence, and what then."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Harder = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From images, labels and which patterns are meant (B booleans) to the images augmented, and the natural losses of
those: both of the whole batch's shape, where only the patterns that are meant count. The losses are those of a pass of
these patterns by themselves."""


def kept_patterns(natural_loss: Tensor, threshold: Tensor | float) -> Tensor:
    """Return which patterns DOM_RE keeps, N booleans: a natural loss of exactly the threshold is kept."""
    return natural_loss >= threshold


def patterns_to_augment(natural_loss: Tensor, threshold: Tensor | float) -> Tensor:
    """Return which patterns DOM_DA augments, N booleans: a natural loss of exactly the threshold is augmented."""
    return natural_loss <= threshold


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Return the scalar loss of DOM_RE: removed patterns count as zero, the mean is over the whole batch."""
    return (losses * weights).mean()


@torch.no_grad()
def augment_iteratively(
    images: Tensor,
    labels: Tensor,
    chosen: Tensor,
    harder: Harder,
    *,
    threshold: Tensor | float,
    iterations: int,
    strength: float,
) -> Tensor:
    """Return the images with the chosen ones (B booleans) augmented until the model is less sure of them (DOM_DA).

    A pattern whose augmented loss reaches the threshold takes the augmented image and is done; the others take the mix
    of their current and augmented image with weight `strength` (beta), or the augmented image in the last iteration.
    """
    todo = chosen
    for iteration in range(1, iterations + 1):
        augmented, losses = harder(images, labels, todo)
        done = kept_patterns(losses, threshold)
        beta = 1.0 if iteration == iterations else strength
        taken = torch.where(_each(done), augmented, images * (1 - beta) + augmented * beta)
        images = torch.where(_each(todo), taken, images)
        todo = todo & ~done
    return images


def _each(patterns: Tensor) -> Tensor:
    return patterns.view(-1, 1, 1, 1)
