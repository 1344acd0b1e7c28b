"""Crop, flip and the batch augmentations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from domcli.trainer.augment import crop_and_flip, padding_for, to_float, to_uint8
from domcli.trainer.operations.randaugment import randaugment


def numbered(count: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("size", [8, 9, 32])
def test_every_result_is_a_crop_of_the_reflect_padded_image_or_its_mirror_image(size: int) -> None:
    images = numbered(6, size)
    index = torch.tensor([4, 0, 5, 5, 2])
    torch.manual_seed(0)
    batch = crop_and_flip(images, index)
    padding = padding_for(size)
    padded = F.pad(to_float(images), (padding,) * 4, mode="reflect")
    for result, source in zip(batch, index, strict=True):
        crops = [
            padded[source, :, top : top + size, left : left + size]
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert any(torch.equal(result, crop) or torch.equal(result, crop.flip(-1)) for crop in crops)


def test_all_offsets_and_both_directions_occur_evenly_and_independently() -> None:
    size, count = 32, 6000
    ramp = torch.arange(size, dtype=torch.uint8)
    images = torch.stack([ramp.view(-1, 1).expand(size, size), ramp.view(1, -1).expand(size, size)]).unsqueeze(0)
    torch.manual_seed(0)
    batch = (crop_and_flip(images, torch.zeros(count, dtype=torch.long)) * 255).round()
    middle = size // 2
    tops = batch[:, 0, middle, 0] - middle
    flipped = batch[:, 1, 0, middle + 1] < batch[:, 1, 0, middle]
    lefts = torch.where(flipped, batch[:, 1, 0, middle - 1], batch[:, 1, 0, middle]) - middle
    for offsets in (tops, lefts):
        values, counts = offsets.unique(return_counts=True)
        assert values.tolist() == list(range(-4, 5))
        assert counts.min() > count / 9 * 0.8
    assert flipped.float().mean() == pytest.approx(0.5, abs=0.03)
    assert torch.corrcoef(torch.stack([tops, lefts]))[0, 1].abs() < 0.05


def test_the_batch_is_float_in_channels_last_order_and_exact() -> None:
    batch = crop_and_flip(numbered(4, 32), torch.arange(4))
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(to_float(to_uint8(batch)), batch)


def test_uint8_is_exact_for_all_256_values() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_uint8(torch.tensor([0.0, 0.999, 1.0])).tolist() == [0, 255, 255]


def test_randaugment_treats_all_images_of_a_batch_alike() -> None:
    images = to_float(numbered(1, 16)).expand(4, -1, -1, -1)
    for seed in range(5):
        torch.manual_seed(seed)
        augmented = randaugment(images)
        assert torch.equal(augmented, augmented[:1].expand_as(augmented))
