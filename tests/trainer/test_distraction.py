"""Removal and iterative augmentation, at the edges and against the algorithm written out image by image."""

from __future__ import annotations

import dataclasses

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor

from domcli.trainer.distraction import augment_iteratively, kept_patterns, patterns_to_augment, weighted_mean
from domcli.trainer.engine import Engine
from domcli.trainer.operations.remove import remove


def test_a_loss_of_exactly_the_threshold_is_kept_and_is_augmented() -> None:
    losses = torch.tensor([0.5, 1.0, 1.5])
    assert kept_patterns(losses, 1.0).tolist() == [False, True, True]
    assert patterns_to_augment(losses, 1.0).tolist() == [True, True, False]


def test_removal_divides_by_the_whole_batch() -> None:
    loss = weighted_mean(torch.tensor([1.0, 2.0, 3.0, 4.0]), remove(torch.tensor([True, False, True, False])))
    assert loss.item() == pytest.approx(6.0 / 4)


def brightness_loss(images: Tensor, labels: Tensor) -> Tensor:
    return images.flatten(1).mean(1) * 2 + labels


def brighten(images: Tensor) -> Tensor:
    return (images + 0.2).clamp(max=1)


def harder(images: Tensor, labels: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Augment what is meant, and leave nonsense elsewhere, which must not count."""
    brighter = torch.where(among.view(-1, 1, 1, 1), brighten(images), torch.nan)
    return brighter, torch.where(among, brightness_loss(brighter, labels), torch.nan)


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
        patterns_to_augment(brightness_loss(images, labels), 1.0),
        harder,
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


def test_the_plain_engine_asks_about_the_subset_alone_and_only_while_some_are_left() -> None:
    training = tiny.training("natural-dom-augmix")
    engine, asked = Engine(training), []

    def counting(images: Tensor) -> Tensor:
        asked.append(len(images))
        return images

    training.plan = dataclasses.replace(training.plan, distract=counting)
    images, labels = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 0])
    logits = F.one_hot(torch.tensor([0, 1, 2, 3]), 10) * 9.0
    sure = {float(image.sum()): row for image, row in zip(images, logits, strict=True)}
    engine.compute(lambda batch: torch.stack([sure[float(image.sum())] for image in batch]), {})
    settings = {"threshold": 1.0, "iterations": 3, "strength": 0.5}
    chosen = torch.tensor([True, True, True, False])
    unchanged = augment_iteratively(images, labels, chosen, engine.harder, **settings)
    assert asked == [3, 2, 2]  # the third is not classified as its label, so its loss is high at once
    assert torch.equal(unchanged, images)
    asked.clear()
    augment_iteratively(images, labels, torch.zeros(4, dtype=torch.bool), engine.harder, **settings)
    assert asked == []
