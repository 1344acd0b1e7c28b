"""AugMix with torchvision's defaults: chains of operations for the whole batch, mixed with weights of each image."""

from __future__ import annotations

from torch import Tensor

from domcli.trainer.augment import on_levels
from domcli.trainer.augmentation import policies


def augmix(images: Tensor) -> Tensor:
    """Return AugMix of float images in [0, 1] (see augment.on_levels); the draws are torchvision's for such a batch."""
    return on_levels(lambda levels: policies.apply_mixture(levels, policies.draw_augmix(*_sizes(levels))), images)


def _sizes(levels: Tensor) -> tuple[int, int, int]:
    count, _, height, width = levels.shape
    return count, height, width
