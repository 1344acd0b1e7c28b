"""Augmentation of batches on the device: crop and flip for all, and what the operations of DOM and baselines share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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


def on_levels(augment: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return float images in [0, 1] (B x C x H x W, C 1 or 3) augmented as the whole numbers up to 255 they are.

    `augment` takes and returns these numbers as float32, B x C x H x W. On the CPU AugMix and RandAugment are then
    torchvision's on the same images as uint8, bit for bit.
    """
    # As `to_uint8` and `to_float` do, but the whole numbers in between stay float32.
    levels = (images.contiguous() * 255.999).trunc_()
    return augment(levels).contiguous(memory_format=torch.channels_last).div_(255)


def _reflect(position: Tensor, size: int) -> Tensor:
    """Return positions outside of [0, size) mirrored at the edge pixels, which are not repeated."""
    return (size - 1) - ((size - 1) - position.abs()).abs()
