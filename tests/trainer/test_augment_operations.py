"""AugMix and RandAugment against torchvision's, bit for bit on the CPU: every operation, and whole calls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torchvision.transforms import AugMix, InterpolationMode, RandAugment
from torchvision.transforms.autoaugment import _apply_op

from domcli.catalogue import OPERATIONS
from domcli.trainer.augment import to_float
from domcli.trainer.augmentation import policies
from domcli.trainer.augmentation.policies import Operation

SHAPES = [(1, 3, 8, 8), (7, 3, 9, 9), (3, 1, 32, 32), (2, 3, 32, 32), (2, 3, 21, 34), (1, 1, 13, 13), (1, 3, 96, 96)]
REFERENCES = {"augmix": AugMix(), "randaugment": RandAugment()}
INTERPOLATIONS = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR}


def pictures(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Noise of all contrasts: full, narrow, few levels, two levels, slopes, and one flat channel, in turn."""
    count, channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, shape, generator=generator)
    slopes = (torch.arange(height).view(-1, 1) * 5 + torch.arange(width) * 3).expand(channels, -1, -1) % 256
    images = noise.clone()
    for index in range(count):
        kind = (index + seed) % 6
        if kind == 1:
            images[index] = 90 + noise[index] // 8
        elif kind == 2:
            images[index] = noise[index] // 32 * 32
        elif kind == 3:
            images[index] = (noise[index] > 200) * 255
        elif kind == 4:
            images[index] = slopes
        elif kind == 5:
            images[index, -1] = 17
    return images.to(torch.uint8)


def every_operation(height: int, width: int) -> Iterator[tuple[Operation, str]]:
    """All operations of both policies at all of torchvision's magnitudes in both directions."""
    for name, bins, interpolation in (("augmix", 10, "bilinear"), ("randaugment", 31, "nearest")):
        for operation, (magnitudes, signed) in REFERENCES[name]._augmentation_space(bins, (height, width)).items():
            for magnitude in magnitudes.view(-1).tolist():
                for direction in (1, -1) if signed else (1,):
                    yield Operation(operation, direction * float(magnitude)), interpolation


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_operation_is_torchvisions(shape: tuple[int, ...]) -> None:
    operations = list(every_operation(*shape[-2:]))
    assert len({operation.name for operation, _ in operations}) == 14
    for seed, (operation, interpolation) in enumerate(operations):
        images = pictures(shape, seed)
        expected = _apply_op(images, operation.name, operation.magnitude, INTERPOLATIONS[interpolation], None)
        levels = images.float()
        result = policies.apply_chain(levels, (operation,), interpolation)
        assert torch.equal(result, expected.float()), (operation, interpolation)
        assert torch.equal(levels, images.float()), f"{operation} changed its argument"


@pytest.mark.parametrize("name", ["augmix", "randaugment"])
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (5, 3, 32, 32), (3, 1, 28, 28)], ids=str)
def test_a_call_is_torchvisions_with_the_same_seed_and_leaves_the_generator_alike(
    name: str, shape: tuple[int, ...]
) -> None:
    augment, reference = OPERATIONS[name].load(), REFERENCES[name]
    for seed in range(120):
        images = pictures(shape, seed)
        torch.manual_seed(seed)
        expected, after = to_float(reference(images)), torch.rand(())
        torch.manual_seed(seed)
        result, then = augment(to_float(images).contiguous(memory_format=torch.channels_last)), torch.rand(())
        assert torch.equal(result, expected), seed
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert then == after, seed


@pytest.mark.parametrize(("name", "size"), [("augmix", 19), ("randaugment", 23)])
def test_half_precision_in_the_rest_of_the_step_moves_no_pixel(name: str, size: int) -> None:
    # No other test uses these sizes, so that the sampling grids are made here, under the automatic casting.
    images = pictures((4, 3, size, size))
    for seed in range(30):
        torch.manual_seed(seed)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = OPERATIONS[name].load()(to_float(images))
        torch.manual_seed(seed)
        assert torch.equal(result, to_float(REFERENCES[name](images))), seed


def test_augmix_weighs_each_image_on_its_own_and_the_weights_are_shares() -> None:
    torch.manual_seed(3)
    weights = policies.draw_augmix(50, 32, 32).weights
    assert weights.shape == (50, 4)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(1), torch.ones(50))
    assert len(weights[:, 0].unique()) == 50


def test_no_value_of_an_image_is_read_back() -> None:
    """Tensors without data stand for those on a device: reading a value, or a size that depends on one, is an error."""
    images = torch.empty(3, 3, 32, 32, device="meta")
    with pytest.raises(RuntimeError):
        (images > 0).any().item()
    with pytest.raises(NotImplementedError):
        images[images > 0]
    strong = {(operation.name, interpolation): operation for operation, interpolation in every_operation(32, 32)}
    assert len(strong) == 27
    for (_, interpolation), operation in strong.items():
        assert policies.apply_chain(images, (operation,), interpolation).shape == images.shape
    for name in ("augmix", "randaugment"):
        augmented = OPERATIONS[name].load()(images)
        assert augmented.shape == images.shape
        assert augmented.device.type == "meta"


def test_the_trainer_augments_without_loading_torchvision_or_the_compiler() -> None:
    script = """
import sys, torch
from domcli.catalogue import OPERATIONS
from domcli.trainer import loop
for name in ("augmix", "randaugment"):
    for seed in range(30):
        torch.manual_seed(seed)
        OPERATIONS[name].load()(torch.rand(2, 3, 8, 8))
print([name for name in ("torchvision", "torch._dynamo", "torch._inductor") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
