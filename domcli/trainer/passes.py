"""Passes of a batch through a network: what each tells of the patterns, and what a step saw of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Network = Callable[[Tensor], Tensor]
"""Images (N x C x H x W, in [0, 1]) to float32 logits (N x classes): a classifier, or the same computed faster."""

LossOf = Callable[[Tensor, Tensor], Tensor]
"""Images (N x C x H x W, in [0, 1]) and labels (N) to the unreduced loss (N), float32."""


@dataclass(frozen=True)
class Judgement:
    """Unreduced losses (N, nats, float32) and whether each of N patterns is classified correctly."""

    losses: Tensor
    correct: Tensor

    def detached(self) -> Judgement:
        """Return the same without the graph."""
        return Judgement(self.losses.detach(), self.correct)


@dataclass(frozen=True)
class StepOutcome:
    """What a step saw of each of its N patterns, on the device."""

    natural_loss: Tensor
    natural_correct: Tensor
    robust_loss: Tensor | None
    robust_correct: Tensor | None
    removed: Tensor
    augmented: Tensor
    threshold: Tensor
    """T of this step: of no dimensions, float32."""


def loss_of(network: Network) -> LossOf:
    """Return the function from images and labels to the unreduced cross-entropy in nats, float32."""
    return lambda images, labels: F.cross_entropy(network(images), labels, reduction="none")


def judge(network: Network, images: Tensor, labels: Tensor, *, with_graph: bool) -> Judgement:
    """Return what the network makes of images; `with_graph`: ready for a backward pass."""
    with torch.set_grad_enabled(with_graph):
        logits = network(images)
        losses = F.cross_entropy(logits, labels, reduction="none")
    return Judgement(losses, logits.detach().argmax(1) == labels)
