"""Operations on the values of whole batches, without moving a pixel and without waiting for the device.

Images are float32 with whole numbers from 0 to 255, B x C x H x W, C 1 or 3, contiguous. This is what uint8 images
hold, in the type that the arithmetic needs: nothing is converted between two operations. The results are torchvision's,
bit for bit on the CPU. No function changes its argument; where nothing is to be done, the result is the argument.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 256
LARGEST = LEVELS - 1


def brightness(images: Tensor, factor: float) -> Tensor:
    """Return the images mixed with black: 0 is black, 1 the image, more is brighter."""
    if factor == 1:
        return images
    return _to_levels(images * factor)


def color(images: Tensor, factor: float) -> Tensor:
    """Return the images mixed with their grey image: 0 is grey, 1 the image. Images of one channel stay as they are."""
    if factor == 1 or images.shape[1] == 1:
        return images
    return _to_levels((images * factor).add_(_grey(images).mul_(1.0 - factor)))


def contrast(images: Tensor, factor: float) -> Tensor:
    """Return the images mixed with the mean of their own grey image: 0 is flat, 1 the image."""
    if factor == 1:
        return images
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return _to_levels((images * factor).add_(mean.mul_(1.0 - factor)))


def sharpness(images: Tensor, factor: float) -> Tensor:
    """Return the images mixed with a smoothed copy: 0 is smooth, 1 the image, more is sharper.

    The smoothing weighs the 3 x 3 neighbourhood 1, the pixel itself 5, and leaves the edge pixels alone.
    """
    height, width = images.shape[-2:]
    if factor == 1 or height <= 2 or width <= 2:
        return images
    columns = (images[..., :-2] + images[..., 1:-1]).add_(images[..., 2:])
    total = (columns[..., :-2, :] + columns[..., 1:-1, :]).add_(columns[..., 2:, :])
    inner = images[..., 1:-1, 1:-1]
    # A thirteenth of a whole number is never closer to a half than 1/26, so that any accurate mean rounds alike.
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = total.add_(inner * 4).mul_(1 / 13).round_()
    return _to_levels((images * factor).add_(smooth.mul_(1.0 - factor)))


def posterize(images: Tensor, bits: int) -> Tensor:
    """Return the images with the highest `bits` of 8 bits kept and the others zero."""
    step = 2.0 ** (8 - bits)
    if step == 1:
        return images
    return (images * (1 / step)).trunc_().mul_(step)


def solarize(images: Tensor, threshold: float) -> Tensor:
    """Return the images with the values from `threshold` on inverted."""
    # |x - 255| is 255 - x, and |x - 0| is x: three times as fast as a selection between two images.
    return images.clone().ge_(threshold).mul_(-LARGEST).add_(images).abs_()


def autocontrast(images: Tensor) -> Tensor:
    """Return the images with each channel of each image stretched to 0..255; flat channels stay as they are."""
    lowest = images.amin(dim=(-2, -1), keepdim=True)
    span = images.amax(dim=(-2, -1), keepdim=True).sub_(lowest)
    flat = span == 0
    scale = (LARGEST / span).masked_fill_(flat, 1.0)
    return _to_levels((images - lowest.masked_fill_(flat, 0.0)).mul_(scale))


def equalize(images: Tensor) -> Tensor:
    """Return the images with the histogram of each channel of each image levelled out.

    Of a channel with n pixels below its largest value, step = n // 255 pixels go to each level; with step = 0 the
    channel stays as it is. Counts are integers, so that their sums are the same in any order.
    """
    channels = images.shape[0] * images.shape[1]
    first = torch.arange(0, channels * LEVELS, LEVELS, device=images.device).view(-1, 1)
    # Place of each pixel's level in the tables of all channels, one after the other.
    place = images.reshape(channels, -1).to(torch.int64).add_(first).view(-1)
    counts = torch.zeros(channels * LEVELS, dtype=torch.int32, device=images.device)
    counts.scatter_add_(0, place, torch.ones_like(place, dtype=torch.int32))
    up_to = counts.view(channels, LEVELS).cumsum(1, dtype=torch.int32)
    pixels = up_to[:, -1:]
    # The pixels below the largest value: the highest cumulative count that is not all of them.
    below = up_to.masked_fill(up_to == pixels, 0).amax(1, keepdim=True)
    step = below.div(LARGEST, rounding_mode="floor")
    before = up_to - counts.view(channels, LEVELS)
    # Quotients of integers under 2^24 never round up to the next integer, so the floor of the float one is exact.
    table = before.add_(step.div(2, rounding_mode="floor")).div(step.clamp(min=1)).floor_().clamp_(max=LARGEST)
    table = torch.where(step == 0, torch.arange(LEVELS, dtype=table.dtype, device=table.device), table)
    return table.view(-1).index_select(0, place).view(images.shape)


def _grey(images: Tensor) -> Tensor:
    """Return the luma of the images in whole numbers, B x 1 x H x W; images of one channel are their own."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (red * 0.2989).add_(green * 0.587).add_(blue * 0.114).trunc_().unsqueeze(1)


def _to_levels(values: Tensor) -> Tensor:
    """Return the values clamped to 0..255 and cut to whole numbers, in place."""
    return values.clamp_(0, LARGEST).trunc_()
