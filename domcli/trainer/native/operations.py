"""The kernels as differentiable operations on tensors."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from domcli.computation import OWN, PYTORCH
from domcli.trainer.native.build import Unavailable, load

CHANNELS = 32
"""Numbers of channels are multiples of it."""
_wanted = True


@cache
def why_not() -> str | None:
    """Return why the kernels cannot be used on this machine; None if they can. The first call may build them."""
    try:
        _library()
    except Unavailable as error:
        return str(error)
    return None


@cache
def _library() -> ctypes.CDLL:
    return load()


def use(wanted: bool) -> None:
    """Have this process use the kernels where it can, or not."""
    global _wanted
    _wanted = wanted


def in_use(x: Tensor) -> bool:
    """Tell whether the kernels take part on these images: bfloat16 on a CPU that can."""
    return _wanted and x.device.type == "cpu" and x.dtype == torch.bfloat16 and why_not() is None


def describe(precision: torch.dtype) -> str:
    """Return what environment.json says of the kernels of a network on this CPU."""
    if precision != torch.bfloat16:
        return f"{PYTORCH}: those of domcli compute in bfloat16"
    if _wanted and why_not() is None:
        return OWN
    return f"{PYTORCH}: {why_not() or 'by choice'}"


def can_convolve(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Tell whether `Convolution` takes these: whole blocks of channels, kernels of 1 or 3, a stride that divides."""
    size, multiples = weight.shape[-1], all(channels % CHANNELS == 0 for channels in weight.shape[:2])
    even = stride == 1 or (stride == 2 and x.shape[-1] % 2 == 0 and x.shape[-2] % 2 == 0)
    return multiples and size in (1, 3) and even


class PackedWeight:
    """A weight in the order in which the kernels read it, packed anew only when the weight has changed."""

    def __init__(self) -> None:
        self._packed: dict[bool, tuple[int, Tensor]] = {}

    def of(self, weight: Tensor, *, backward: bool) -> Tensor:
        """Return the weight (C' x C x k x k, float32, channels_last) packed for the one or the other direction."""
        version, packed = self._packed.get(backward, (-1, None))
        if packed is None or version != weight._version:
            packed = torch.empty(weight.numel(), dtype=torch.bfloat16) if packed is None else packed
            outputs, inputs, kernel, _ = weight.shape
            rows = weight.detach().contiguous(memory_format=torch.channels_last)
            _library().domcli_pack_weight(_at(rows), _at(packed), outputs, inputs, kernel, int(backward))
            self._packed[backward] = (weight._version, packed)
        return packed


class Convolution(torch.autograd.Function):
    """x (N x C x H x W), weight (C' x C x k x k, float32), packed weight, stride -> N x C' x H/stride x W/stride."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, packed: PackedWeight, stride: int) -> Tensor:
        x = _channels_last(x)
        images, _, height, width = x.shape
        ctx.save_for_backward(x, weight)
        ctx.packed, ctx.stride = packed, stride
        out = _empty(images, len(weight), height // stride, width // stride)
        _library().domcli_convolve(
            _at(x), _at(packed.of(weight, backward=False)), _at(out), *_geometry(x, weight, stride)
        )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        gradient = _channels_last(gradients[0])
        x, weight = ctx.saved_tensors
        geometry = _geometry(x, weight, ctx.stride)
        x_gradient = weight_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = torch.empty_like(x)
            packed = ctx.packed.of(weight, backward=True)
            _library().domcli_input_gradient(_at(gradient), _at(packed), _at(x_gradient), *geometry)
        if ctx.needs_input_grad[1]:
            weight_gradient = torch.empty_like(weight, memory_format=torch.channels_last)
            _library().domcli_weight_gradient(_at(x), _at(gradient), _at(weight_gradient), *geometry)
        return x_gradient, weight_gradient, None, None


class BatchNormReLU(torch.autograd.Function):
    """x (N x C x H x W), weight, bias, mean, variance (each C, float32), eps -> the normalised x behind a ReLU.

    `from_batch`: mean and variance are those of x itself, and the gradient goes through them.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float, from_batch: bool
    ) -> Tensor:
        inverse = (variance + eps).rsqrt()
        scale = weight * inverse
        shift = bias - mean * scale
        out = torch.empty_like(x)
        _library().domcli_scale_relu(_at(x), _pixels(x), x.shape[1], _at(scale), _at(shift), _at(out))
        ctx.save_for_backward(x, scale, shift, mean, inverse)
        ctx.from_batch = from_batch
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = _channels_last(gradients[0])
        x, scale, shift, mean, inverse = ctx.saved_tensors
        pixels, channels = _pixels(x), x.shape[1]
        sums = torch.empty(2, channels, dtype=torch.float64)
        common = (_at(x), _at(gradient), pixels, channels, _at(scale), _at(shift))
        if ctx.from_batch or any(ctx.needs_input_grad[1:3]):
            _library().domcli_gradient_sums(*common, _at(mean), _at(sums[0]), _at(sums[1]))
        slope = offset = torch.zeros_like(scale)
        if ctx.from_batch:
            # d x = scale * (g - mean(g) - (x - mean) / variance * mean(g (x - mean)))
            along = scale * inverse * inverse * (sums[1] / pixels).float()
            slope, offset = -along, along * mean - scale * (sums[0] / pixels).float()
        x_gradient = torch.empty_like(x)
        _library().domcli_scale_relu_gradient(*common, _at(slope), _at(offset), _at(x_gradient))
        weight_gradient = (sums[1] * inverse).float() if ctx.needs_input_grad[1] else None
        bias_gradient = sums[0].float() if ctx.needs_input_grad[2] else None
        return x_gradient, weight_gradient, bias_gradient, None, None, None, None


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel of x (N x C x H x W, bfloat16, channels_last), float32."""
    mean, variance = torch.empty(x.shape[1]), torch.empty(x.shape[1])
    _library().domcli_statistics(_at(x), _pixels(x), x.shape[1], _at(mean), _at(variance))
    return mean, variance


def _geometry(x: Tensor, weight: Tensor, stride: int) -> tuple[int, ...]:
    images, inputs, height, width = x.shape
    return images, height, width, inputs, weight.shape[0], weight.shape[-1], stride


def _channels_last(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16, memory_format=torch.channels_last)


def _pixels(x: Tensor) -> int:
    return x.numel() // x.shape[1]


def _at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
