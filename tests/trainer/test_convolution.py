"""The matrix-product convolution against PyTorch's own, in value and in every gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from domcli.trainer.fast import convolution
from domcli.trainer.fast.convert import convert
from domcli.trainer.fast.convolution import FastConv2d
from domcli.trainer.models import preactresnet

SHAPES = [(3, 1, 4), (3, 2, 8), (3, 2, 7), (1, 2, 8), (1, 1, 3), (3, 1, 1)]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "FEWEST_CHANNELS", 2)


def made(inputs: int, outputs: int, kernel: int, stride: int = 1) -> FastConv2d:
    layer = preactresnet.convolution(inputs, outputs, kernel, stride)
    convert(layer)
    assert isinstance(layer, FastConv2d)
    return layer


def in_bfloat16(layer: nn.Conv2d, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        result: Tensor = layer(images)
    return result


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("kernel", "stride", "size"), SHAPES)
def test_values_and_gradients_are_those_of_a_convolution(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    layer = made(6, 5, kernel, stride)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.bfloat16().float())
    images = torch.randn(3, 6, size, size).bfloat16().float().requires_grad_()
    result = in_bfloat16(layer, images)
    upstream = torch.randn_like(result)
    found = torch.autograd.grad(result, [images, layer.weight], upstream)
    reference = F.conv2d(images, layer.weight, stride=stride, padding=kernel // 2)
    expected = torch.autograd.grad(reference, [images, layer.weight], upstream.float())
    assert result.dtype == torch.bfloat16
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(result.float(), reference, rtol=1e-2, atol=1e-2)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-2 * float(other.abs().max()))


@pytest.mark.usefixtures("exact")
def test_it_is_used_for_small_maps_in_bfloat16_only(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, used = made(6, 5, 3), []
    monkeypatch.setattr(FastConv2d, "matrix", lambda self: used.append(1) or self.weight.flatten(1).bfloat16())
    layer(torch.rand(2, 6, 4, 4))
    in_bfloat16(layer, torch.rand(2, 6, 8, 8))
    assert not used
    in_bfloat16(layer, torch.rand(2, 6, 4, 4))
    assert used


@pytest.mark.usefixtures("exact")
def test_the_converted_weight_follows_the_weight_and_keeps_its_gradient() -> None:
    layer, images = made(6, 5, 3), torch.rand(2, 6, 4, 4)
    with torch.no_grad():
        before = in_bfloat16(layer, images)
    assert layer.matrix().requires_grad
    in_bfloat16(layer, images).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        layer.weight.mul_(2)
        after = in_bfloat16(layer, images)
    torch.testing.assert_close(after, before * 2, rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("exact")
def test_the_weight_gradient_is_not_computed_for_an_attack() -> None:
    layer, images = made(6, 5, 3), torch.rand(2, 6, 4, 4, requires_grad=True)
    asked: list[Tensor] = []
    layer.weight.register_hook(asked.append)
    torch.autograd.grad(in_bfloat16(layer, images).sum(), images)
    assert asked == []
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more"),
    [
        (2, 1, 1, {}),
        (4, 2, 2, {}),
        (3, 1, 0, {}),
        (3, 1, 1, {"groups": 2}),
        (3, 1, 2, {"dilation": 2}),
        ((3, 1), 1, 1, {}),
    ],
)
def test_other_convolutions_stay_as_they_are(kernel, stride, padding, more) -> None:
    layer = nn.Conv2d(6, 4, kernel, stride, padding, bias=False, **more)
    convert(layer)
    assert type(layer) is nn.Conv2d


def test_a_weight_that_is_computed_anew_in_each_pass_is_not_converted() -> None:
    layer = torch.nn.utils.weight_norm(nn.Conv2d(6, 4, 3, padding=1, bias=False))
    convert(layer)
    assert type(layer) is nn.Conv2d
