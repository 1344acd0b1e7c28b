"""The CPU kernels against PyTorch's operations in float32, in value and in every gradient.

Where the machine has no matrix unit or no compiler, only what happens then can be tested.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
from pathlib import Path

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor

from domcli.trainer import seeding
from domcli.trainer.engine import Engine
from domcli.trainer.fast.convert import convert
from domcli.trainer.models.normalisation import BatchNormReLU
from domcli.trainer.models.preactresnet import convolution, preactresnet18
from domcli.trainer.native import build, operations
from domcli.trainer.seeding import Purpose

needs_kernels = pytest.mark.skipif(operations.why_not() is not None, reason=f"no kernels: {operations.why_not()}")
SHAPES = [
    (32, 32, 3, 1, 8, 32),
    (64, 32, 3, 1, 5, 33),
    (32, 64, 3, 2, 8, 7),
    (32, 32, 1, 2, 6, 40),
    (64, 64, 1, 1, 4, 1),
    (32, 32, 3, 1, 1, 3),
    (96, 32, 3, 2, 2, 70),
]


def exact(*shape: int) -> Tensor:
    """Return numbers that bfloat16 holds, in the memory order of the kernels."""
    return torch.randn(shape).bfloat16().float().contiguous(memory_format=torch.channels_last)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.detach().float() - expected.detach()).norm() / expected.detach().norm())


@needs_kernels
@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "size", "images"), SHAPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_convolution_and_its_gradients(inputs, outputs, kernel, stride, size, images, threads) -> None:
    torch.manual_seed(0)
    x = exact(images, inputs, size, size)
    weight = exact(outputs, inputs, kernel, kernel).requires_grad_()
    expected = F.conv2d(x.requires_grad_(), weight, stride=stride, padding=kernel // 2)
    upstream = exact(*expected.shape)
    expected_gradients = torch.autograd.grad(expected, [x, weight], upstream)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        low = x.detach().bfloat16().requires_grad_()
        found = operations.Convolution.apply(low, weight, operations.PackedWeight(), stride)
        gradients = torch.autograd.grad(found, [low, weight], upstream.bfloat16())
    finally:
        torch.set_num_threads(before)
    assert found.dtype == gradients[0].dtype == torch.bfloat16
    assert gradients[1].dtype == torch.float32
    assert relative_error(found, expected.detach()) < 3e-3
    assert relative_error(gradients[0], expected_gradients[0]) < 3e-3
    assert relative_error(gradients[1], expected_gradients[1]) < 1e-5


@needs_kernels
@pytest.mark.parametrize("frozen", ["weight", "images"])
def test_only_the_gradient_that_is_asked_for_is_computed(frozen, monkeypatch) -> None:
    called = []
    library = operations._library()

    class Spy:
        def __getattr__(self, name: str) -> object:
            called.append(name)
            return getattr(library, name)

    monkeypatch.setattr(operations, "_library", lambda: Spy())
    x = torch.randn(2, 32, 4, 4).bfloat16().requires_grad_(frozen != "images")
    weight = torch.randn(32, 32, 3, 3).requires_grad_(frozen != "weight")
    operations.Convolution.apply(x, weight, operations.PackedWeight(), 1).sum().backward()
    assert ("domcli_weight_gradient" in called) == (frozen == "images")
    assert ("domcli_input_gradient" in called) == (frozen == "weight")


@needs_kernels
def test_a_weight_is_packed_again_only_when_it_has_changed() -> None:
    packed, weight = operations.PackedWeight(), torch.randn(32, 32, 3, 3)
    first = packed.of(weight, backward=False).clone()
    weight.data.zero_()  # behind the version counter's back
    assert torch.equal(packed.of(weight, backward=False), first)
    weight.zero_()
    assert not packed.of(weight, backward=False).any()


@needs_kernels
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(9, 32, 5, 5), (64, 64, 8, 8), (1, 32, 2, 2)])
def test_batch_norm_with_relu(training, shape) -> None:
    torch.manual_seed(1)
    layer, reference = BatchNormReLU(shape[1]), BatchNormReLU(shape[1])
    convert(layer)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2.0)
        layer.bias.uniform_(-1.0, 1.0)
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2.0)
    reference.load_state_dict(layer.state_dict())
    layer.train(training)
    reference.train(training)
    x = (exact(*shape) * 3 + 20).bfloat16().float()  # a mean far from 0: cancellation would show
    upstream = exact(*shape)
    x.requires_grad_()
    expected = reference(x)
    expected.backward(upstream)
    low = x.detach().bfloat16().requires_grad_()
    found = layer(low)
    found.backward(upstream.bfloat16())
    assert found.dtype == torch.bfloat16
    assert relative_error(found, expected.detach()) < 4e-3
    assert relative_error(low.grad, x.grad) < 4e-3
    torch.testing.assert_close(layer.weight.grad, reference.weight.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer.bias.grad, reference.bias.grad, rtol=1e-3, atol=1e-3)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(layer.get_buffer(name), reference.get_buffer(name), rtol=1e-5, atol=1e-5)


@needs_kernels
def test_layers_use_the_kernels_in_bfloat16_only(monkeypatch) -> None:
    used = []
    monkeypatch.setattr(operations.Convolution, "apply", lambda *given: used.append(given) or given[0])
    layer, other = convolution(32, 32, 3), convolution(3, 32, 3)
    convert(layer)
    convert(other)
    layer(torch.randn(1, 32, 4, 4))
    assert not used
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(1, 32, 4, 4).bfloat16())
        assert used
        other(torch.randn(1, 3, 4, 4).bfloat16())  # three channels are no whole block
    assert len(used) == 1


@needs_kernels
@pytest.mark.parametrize("preset", ["natural-dom-re", "pgd-dom-re"])
def test_after_steps_of_training_the_kernels_compute_with_the_weights_as_they_are(preset, monkeypatch) -> None:
    training = tiny.training(preset, "model.width=32", "train.precision=bfloat16", "data.train_images=64")
    images, engine = torch.rand(16, 1, 16, 16), Engine(training)
    convert(training.classifier)

    def logits(wanted: bool) -> Tensor:
        monkeypatch.setattr(operations, "_wanted", wanted)
        with torch.no_grad(), engine.arithmetic():
            return training.classifier.eval()(images)

    before = logits(True)
    for step in range(3):
        training.classifier.train()
        seeding.reseed(0, Purpose.STEP, 0, step)
        engine.step(torch.arange(64), 0.1, dom_active=False)
        after, expected = logits(True), logits(False)
        assert relative_error(after, expected) < 0.05
    assert relative_error(before, expected) > 0.3


@needs_kernels
def test_gradients_of_a_whole_network_are_as_near_to_float32_as_those_of_pytorch(monkeypatch) -> None:
    torch.manual_seed(0)
    network = preactresnet18(32, 3, 10).to(memory_format=torch.channels_last)
    convert(network)
    images, labels = torch.rand(24, 3, 16, 16), torch.randint(10, (24,))
    images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    weights = [images, *network.parameters()]

    def gradients(*, low: bool, wanted: bool) -> Tensor:
        monkeypatch.setattr(operations, "_wanted", wanted)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = F.cross_entropy(network(images), labels)
        return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, weights)])

    exact = gradients(low=False, wanted=False)
    usual = relative_error(gradients(low=True, wanted=False), exact)
    assert relative_error(gradients(low=True, wanted=True), exact) < 1.2 * usual


def rejected(monkeypatch: pytest.MonkeyPatch) -> str:
    with pytest.raises(build.Unavailable) as caught:
        build.load()
    return str(caught.value)


def amd64_with_all_features(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build, "cpu_field", lambda key: " ".join(build.NEEDED))
    monkeypatch.setattr(build, "_permit_tiles", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_other_machines_are_told_why_there_are_no_kernels(monkeypatch, tmp_path) -> None:
    amd64_with_all_features(monkeypatch, tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "no C++ compiler" in rejected(monkeypatch)
    monkeypatch.setattr(build, "cpu_field", lambda key: "avx512bw avx512vl avx512dq avx512_bf16 amx_tile")
    assert rejected(monkeypatch) == "the CPU has no amx_bf16"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert rejected(monkeypatch) == "not Linux on x86-64"


def test_a_compiler_that_fails_leaves_nothing_behind(monkeypatch, tmp_path) -> None:
    amd64_with_all_features(monkeypatch, tmp_path)
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'kernels: error: unknown option -mamx-tile' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(compiler))
    assert rejected(monkeypatch).endswith("failed: kernels: error: unknown option -mamx-tile")
    assert not list((tmp_path / "domcli" / "kernels").iterdir())


@needs_kernels
def test_the_library_is_built_once_and_again_when_the_cache_is_gone(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert isinstance(build.load(), ctypes.CDLL)
    (built,) = (tmp_path / "domcli" / "kernels").iterdir()
    when = built.stat().st_mtime_ns
    build.load()
    assert built.stat().st_mtime_ns == when


def test_a_machine_without_kernels_computes_as_before(monkeypatch) -> None:
    monkeypatch.setattr(operations, "why_not", lambda: "there are none")
    layer, x = BatchNormReLU(32), torch.randn(4, 32, 3, 3).bfloat16()
    convert(layer)
    expected = F.relu(F.batch_norm(x, None, None, layer.weight, layer.bias, training=True))
    torch.testing.assert_close(layer(x), expected)
