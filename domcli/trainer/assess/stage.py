"""An evaluation is a row of stages: no attack, then one attack after the other on the images that are still correct."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from domcli.trainer.assess.batches import FittingNetwork

StillCorrect = Callable[[Tensor, Tensor, Sequence[int]], Tensor]
"""From images (N x C x H x W in [0, 1]), labels and the images' places in the test set to N truth values."""


@dataclass(frozen=True)
class Stage:
    """One attack, or none."""

    name: str
    still_correct: StillCorrect
    """Tells which of some images are classified correctly whatever the attack does."""
    passes: int
    """How often it calls the network for a batch, at the most."""
    cost: int
    """What it computes for an image, at the most, in forward passes; a gradient counts as one more."""
    together: int | None = None
    """So many images must be attacked together for the result to be the same; None: any number."""


def natural(network: FittingNetwork) -> Stage:
    """Return the stage without attack."""
    return Stage("natural", lambda images, labels, _: network.predict(images) == labels, passes=1, cost=1)
