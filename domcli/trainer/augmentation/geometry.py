"""Shear, translation and rotation of whole batches: one sampling grid, which every image of the batch shares.

torchvision's arithmetic to the last bit: on the CPU a pixel halfway between two values must be rounded the same way.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["nearest", "bilinear"]
Matrix = tuple[float, float, float, float, float, float]
"""Rows of the affine map from target to source positions, in pixels from the centre of the image."""

IDENTITY: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def matrix_of(operation: str, magnitude: float, height: int, width: int) -> Matrix:
    """Return the affine map of an operation: shears by a ratio, translations in pixels, a rotation in degrees."""
    if operation == "ShearX":
        return _inverse_affine((-width * 0.5, -height * 0.5), shear=(_shear_degrees(magnitude), 0.0))
    if operation == "ShearY":
        return _inverse_affine((-width * 0.5, -height * 0.5), shear=(0.0, _shear_degrees(magnitude)))
    if operation == "TranslateX":
        return _inverse_affine(translation=(float(int(magnitude)), 0.0))
    if operation == "TranslateY":
        return _inverse_affine(translation=(0.0, float(int(magnitude))))
    return _inverse_affine(angle=-magnitude)


def warp(images: Tensor, matrix: Matrix, interpolation: Interpolation) -> Tensor:
    """Return the images (float32, whole numbers 0 to 255, B x C x H x W) seen through the map; black outside.

    The result may be `images` itself, where nothing moves.
    """
    if matrix == IDENTITY:
        return images
    count, _, height, width = images.shape
    grid = _sampling_grid(matrix, height, width, images.device).expand(count, -1, -1, -1)
    return F.grid_sample(images, grid, mode=interpolation, padding_mode="zeros", align_corners=False).round_()


@lru_cache(maxsize=128)
def _sampling_grid(matrix: Matrix, height: int, width: int, device: torch.device) -> Tensor:
    """Return the source positions, 1 x H x W x 2 in [-1, 1]: made on the CPU, so that devices agree, and kept.

    The two policies know 40 maps; a run on images of one size soon has all it needs on its device.
    """
    # Automatic casting would make this matrix product in bfloat16, which puts pixels in the wrong places.
    with torch.autocast("cpu", enabled=False):
        base = torch.ones(1, height, width, 3)
        base[..., 0] = torch.linspace(-width * 0.5 + 0.5, width * 0.5 + 0.5 - 1, steps=width)
        base[..., 1] = torch.linspace(-height * 0.5 + 0.5, height * 0.5 + 0.5 - 1, steps=height).unsqueeze(-1)
        rows = torch.tensor(matrix).reshape(1, 2, 3).transpose(1, 2) / torch.tensor([0.5 * width, 0.5 * height])
        grid = base.view(1, height * width, 3).bmm(rows).view(1, height, width, 2)
        return grid.to(device, non_blocking=True)


def _shear_degrees(ratio: float) -> float:
    return math.degrees(math.atan(ratio))


def _inverse_affine(
    centre: tuple[float, float] = (0.0, 0.0),
    *,
    angle: float = 0.0,
    translation: tuple[float, float] = (0.0, 0.0),
    shear: tuple[float, float] = (0.0, 0.0),
) -> Matrix:
    """Return the inverse of: shear, rotate about the centre, translate. Angles in degrees, lengths in pixels."""
    rotation, shear_x, shear_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    a = math.cos(rotation - shear_y) / math.cos(shear_y)
    b = -math.cos(rotation - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(rotation)
    c = math.sin(rotation - shear_y) / math.cos(shear_y)
    d = -math.sin(rotation - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(rotation)
    # The determinant is 1, so this is the inverse of the linear part.
    x = -centre[0] - translation[0]
    y = -centre[1] - translation[1]
    return (d, -b, (d * x + -b * y) + centre[0], -c, a, (-c * x + a * y) + centre[1])
