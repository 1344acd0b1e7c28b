"""What a step trains for: one file an objective. The catalogue has their names and costs."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from domcli.trainer.passes import Judgement, LossOf, Network


class Objective(Protocol):
    """The loss that attacks raise, and the loss that updates lower."""

    judges_naturally: bool
    """Whether natural training lowers the very loss that decides what is high-confidence: one pass then does both."""

    def raised(self, network: Network, images: Tensor) -> LossOf:
        """Return the loss that an attack on these images raises, from perturbed images and labels."""

    def lowered(self, network: Network, images: Tensor, perturbed: Tensor, labels: Tensor) -> Judgement:
        """Return the unreduced losses that the update lowers, with their graph, and the hits on the perturbed images.

        In natural training `perturbed` are the images themselves.
        """
