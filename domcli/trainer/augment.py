"""Augmentation of batches on the device: crop and flip for all, AugMix and RandAugment for DOM and the baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from domcli.trainer.augmentation import policies


def padding_for(size: int) -> int:
    """Return the reflect padding before the random crop: 4 for 32 x 32 images, in proportion for other sizes."""
    return size // 8


def to_float(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.float() / 255


def to_uint8(images: Tensor) -> Tensor:
    """Return float images in [0, 1] as uint8: floor(x * 255.999), exact for multiples of 1/255."""
    return (images * 255.999).to(torch.uint8)


def crop_and_flip(images: Tensor, index: Tensor) -> Tensor:
    """Return the images at `index`, each reflect-padded, randomly cropped to its size and randomly flipped.

    `images` is the whole set, uint8, N x C x H x W; `index` selects B of them. Returns float32 in [0, 1], B x C x H x W
    in channels_last order. One gather does all of it: rows and columns of the source are computed, nothing is padded.
    """
    count, size, device = len(index), images.shape[-1], images.device
    padding = padding_for(size)
    offset = torch.randint(2 * padding + 1, (2, count, 1), device=device)
    flip = torch.randint(2, (count, 1), device=device, dtype=torch.bool)
    target = torch.arange(size, device=device)
    rows = _reflect(target + offset[0] - padding, size)
    columns = _reflect(torch.where(flip, target.flip(0), target) + offset[1] - padding, size)
    # Indices on both sides of the channel slice put the channels last, which is the memory format wanted.
    gathered = images[index.view(-1, 1, 1), :, rows.unsqueeze(2), columns.unsqueeze(1)]
    return to_float(gathered).permute(0, 3, 1, 2)


def batch_augmentation(name: Literal["augmix", "randaugment"]) -> Callable[[Tensor], Tensor]:
    """Return AugMix or RandAugment, torchvision's defaults, for float images in [0, 1] (B x C x H x W, C 1 or 3).

    One call draws one set of operations and signs for the whole batch; AugMix draws its mixing weights per image. The
    draws come from the CPU's default generator, whatever the device; the host never waits for the device. On the CPU
    the result is torchvision's on the same images as uint8, bit for bit.
    """

    def augment(images: Tensor) -> Tensor:
        # As `to_uint8` and `to_float` do, but the whole numbers in between stay float32.
        levels = (images.contiguous() * 255.999).trunc_()
        count, _, height, width = levels.shape
        if name == "augmix":
            augmented = policies.apply_mixture(levels, policies.draw_augmix(count, height, width))
        else:
            augmented = policies.apply_chain(levels, policies.draw_randaugment(height, width))
        return augmented.contiguous(memory_format=torch.channels_last).div_(255)

    return augment


def _reflect(position: Tensor, size: int) -> Tensor:
    """Return positions outside of [0, size) mirrored at the edge pixels, which are not repeated."""
    return (size - 1) - ((size - 1) - position.abs()).abs()
