"""Removal and iterative augmentation, at the edges and against the algorithm written out image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from domcli.trainer.distraction import augment_iteratively, kept_patterns, patterns_to_augment, removal_loss


def test_a_loss_of_exactly_the_threshold_is_kept_and_is_augmented() -> None:
    losses = torch.tensor([0.5, 1.0, 1.5])
    assert kept_patterns(losses, 1.0).tolist() == [False, True, True]
    assert patterns_to_augment(losses, 1.0).tolist() == [True, True, False]


def test_removal_divides_by_the_whole_batch() -> None:
    loss = removal_loss(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([False, True, False, True]))
    assert loss.item() == pytest.approx(6.0 / 4)


def brightness_loss(images: Tensor, labels: Tensor) -> Tensor:
    return images.flatten(1).mean(1) * 2 + labels


def brighten(images: Tensor) -> Tensor:
    return (images + 0.2).clamp(max=1)


def one_by_one(image: float, label: float, threshold: float, iterations: int, strength: float) -> float:
    if 2 * image + label > threshold:
        return image
    for iteration in range(1, iterations + 1):
        augmented = min(1.0, image + 0.2)
        if 2 * augmented + label >= threshold or iteration == iterations:
            return augmented
        image = image * (1 - strength) + augmented * strength
    return image


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_augmentation_follows_the_algorithm_image_by_image(strength: float, iterations: int) -> None:
    values, labels = torch.linspace(0, 1, 11), torch.arange(11) % 2 * 0.3
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
    result = augment_iteratively(
        images,
        labels,
        brightness_loss(images, labels),
        brightness_loss,
        brighten,
        threshold=1.0,
        iterations=iterations,
        strength=strength,
    )
    expected = [
        one_by_one(value, label, 1.0, iterations, strength)
        for value, label in zip(values.tolist(), labels.tolist(), strict=True)
    ]
    assert result[:, 0, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(images[:, 0, 0, 0], values)  # the caller's images are left as they are


def test_the_loss_is_asked_about_the_subset_alone_and_only_while_some_are_left() -> None:
    asked: list[int] = []

    def counting(images: Tensor, labels: Tensor) -> Tensor:
        asked.append(len(images))
        assert not torch.is_grad_enabled()
        return torch.where(labels == 0, 9.0, 0.0)

    images, labels = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 0])
    natural = torch.tensor([0.1, 0.1, 0.1, 5.0])
    arguments = {"threshold": 1.0, "iterations": 3, "strength": 0.5}
    augment_iteratively(images, labels, natural, counting, brighten, **arguments)
    assert asked == [3, 1, 1]
    asked.clear()
    augment_iteratively(images, labels * 0, natural, counting, brighten, **arguments)
    assert asked == [3]
    asked.clear()
    unchanged = augment_iteratively(images, labels, natural + 5, counting, brighten, **arguments)
    assert asked == []
    assert torch.equal(unchanged, images)
