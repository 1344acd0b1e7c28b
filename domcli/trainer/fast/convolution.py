"""Convolution that computes small feature maps as one matrix product on CPUs.

oneDNN's bfloat16 kernels reach half of a plain matrix product's speed on maps of 4 x 4 with hundreds of channels, and a
quarter in the weight gradient. Gathering the patches first (im2col) costs little there, because the maps are small.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from domcli.trainer.native import operations

LARGEST_MAP = 4
"""Output height and width up to which the matrix product is faster."""
FEWEST_CHANNELS = 256


class FastConv2d(nn.Conv2d):
    """nn.Conv2d without bias, padded to keep the size; the same parameters, and the same result up to rounding."""

    packed: operations.PackedWeight
    _matrix: Tensor | None = None
    _matrix_is_for: tuple[int, bool] | None = None

    @classmethod
    def takes(cls, layer: nn.Conv2d) -> bool:
        """Tell whether a convolution is of the kind that is computed faster here."""
        kernel, stride = layer.kernel_size, layer.stride
        usual = isinstance(layer._parameters.get("weight"), nn.Parameter) and kernel[0] % 2 == 1
        plain = usual and layer.bias is None and layer.groups == 1 and layer.padding_mode == "zeros"
        square = kernel[0] == kernel[1] and stride[0] == stride[1] and set(layer.dilation) == {1}
        return plain and square and layer.padding == (kernel[0] // 2,) * 2

    @classmethod
    def swap(cls, layer: nn.Conv2d) -> None:
        """Have a layer be computed so from now on; its parameters stay where they are."""
        layer.__class__ = cls
        assert isinstance(layer, cls)
        layer.packed = operations.PackedWeight()

    def forward(self, x: Tensor) -> Tensor:
        """Return N x C' x H' x W' from N x C x H x W."""
        if operations.in_use(x) and operations.can_convolve(x, self.weight, self.stride[0]):
            out: Tensor = operations.Convolution.apply(x, self.weight, self.packed, self.stride[0])
            return out
        if not self._pays_off(x):
            return super().forward(x)
        geometry = (self.kernel_size[0], self.stride[0], int(self.padding[0]))
        patches: Tensor = _Patches.apply(x.to(torch.bfloat16), *geometry)
        size = -(-x.shape[-1] // self.stride[0])
        return (patches @ self.matrix().t()).view(len(x), size, size, -1).permute(0, 3, 1, 2)

    def matrix(self) -> Tensor:
        """Return the weight as a bfloat16 matrix, C' x (k k C), converted anew only when the weight has changed."""
        key = (self.weight._version, torch.is_grad_enabled())
        if self._matrix is None or self._matrix_is_for != key:
            rows = self.weight.permute(0, 2, 3, 1).reshape(len(self.weight), -1)
            self._matrix, self._matrix_is_for = rows.to(torch.bfloat16), key
        return self._matrix

    def _pays_off(self, x: Tensor) -> bool:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return False
        return -(-x.shape[-1] // self.stride[0]) <= LARGEST_MAP and self.in_channels >= FEWEST_CHANNELS


class _Patches(torch.autograd.Function):
    """The patch under each output pixel, (N H' W') x (k k C); backward adds each back to where it was taken from."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        ctx.shape, ctx.geometry = x.shape, (kernel, stride, padding)
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding)).contiguous()
        count, height, _, channels = padded.shape
        size = (height - kernel) // stride + 1
        per_image, per_row, per_pixel, per_channel = padded.stride()
        windows = padded.as_strided(
            (count, size, size, kernel, kernel, channels),
            (per_image, per_row * stride, per_pixel * stride, per_row, per_pixel, per_channel),
        )
        return windows.reshape(count * size * size, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        (count, channels, height, _), (kernel, stride, padding) = ctx.shape, ctx.geometry
        size = (height + 2 * padding - kernel) // stride + 1
        # Pixels that several patches share are summed in float32.
        precision = torch.float32 if kernel > stride else gradient.dtype
        total = torch.zeros(count, height + 2 * padding, height + 2 * padding, channels, dtype=precision)
        parts = gradient.view(count, size, size, kernel, kernel, channels)
        reach = stride * (size - 1) + 1
        for row in range(kernel):
            for column in range(kernel):
                total[:, row : row + reach : stride, column : column + reach : stride] += parts[:, :, :, row, column]
        inner = total[:, padding : padding + height, padding : padding + height]
        return inner.to(gradient.dtype).permute(0, 3, 1, 2), None, None, None
