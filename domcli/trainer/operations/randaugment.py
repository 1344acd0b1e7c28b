"""RandAugment with torchvision's defaults: one set of operations and signs for the whole batch."""

from __future__ import annotations

from torch import Tensor

from domcli.trainer.augment import on_levels
from domcli.trainer.augmentation import policies


def randaugment(images: Tensor) -> Tensor:
    """Return RandAugment of float images in [0, 1] (see augment.on_levels); the draws are torchvision's."""
    return on_levels(
        lambda levels: policies.apply_chain(levels, policies.draw_randaugment(levels.shape[2], levels.shape[3])), images
    )
