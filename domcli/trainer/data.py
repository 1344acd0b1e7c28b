"""Data sets, resident on the device as uint8 from the first step to the last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from domcli.errors import DataError
from domcli.settings import DataSettings
from domcli.trainer.datasets import digits, imagefolder, published
from domcli.trainer.datasets.raw import Images, Labels, RawDataset, rank_in_class


@dataclass(frozen=True)
class ImageSet:
    """Images and their classes, on the device."""

    images: torch.Tensor
    """uint8, N x C x H x W, in channels_last memory format."""
    labels: torch.Tensor
    """int64, N, from 0 to classes - 1."""


@dataclass(frozen=True)
class Dataset:
    """Everything of a data set that training and evaluation need."""

    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    """Of each channel, for images in [0, 1]."""
    std: tuple[float, ...]
    """Of each channel, for images in [0, 1]; greater than 0."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


def load(settings: DataSettings, device: torch.device) -> Dataset:
    """Return the data set of the settings on the device; the same images in the same order whatever the seed.

    Raises DataError when files are missing, damaged or of the wrong form, and when the settings do not fit them.
    """
    raw = _read(settings)
    channels = raw.train_images.shape[-1]
    return Dataset(
        train=_resident(raw.train_images, raw.train_labels, _count("train", settings.train_images, raw), device),
        test=_resident(raw.test_images, raw.test_labels, _count("test", settings.test_images, raw), device),
        class_names=raw.class_names,
        mean=_per_channel("data.mean", settings.mean, raw.mean, channels),
        std=_per_channel("data.std", settings.std, raw.std, channels),
    )


def _read(settings: DataSettings) -> RawDataset:
    root = Path(settings.root).expanduser().absolute()
    if settings.dataset == "digits":
        return digits.read()
    if settings.dataset == "imagefolder":
        return imagefolder.read(root)
    return published.read(settings.dataset, root)


def _count(split: str, wanted: int | None, raw: RawDataset) -> int:
    available = len(raw.train_labels if split == "train" else raw.test_labels)
    if wanted is not None and wanted > available:
        raise DataError(f"data.{split}_images is {wanted}, but {raw.place} has {available} {split} images")
    return available if wanted is None else wanted


def _per_channel(
    key: str, given: tuple[float, ...] | None, known: tuple[float, ...], channels: int
) -> tuple[float, ...]:
    if given is None:
        return known
    if len(given) != channels:
        raise DataError(f"{key} needs one value for each channel of the images, {channels}, but has {len(given)}")
    return given


def _resident(images: Images, labels: Labels, count: int, device: torch.device) -> ImageSet:
    if count < len(labels):
        chosen = evenly(labels, count)
        images, labels = images[chosen], labels[chosen]
    if device.type == "cpu":
        images = _channel_after_channel(images)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    return ImageSet(
        pixels.to(device).contiguous(memory_format=torch.channels_last), torch.from_numpy(labels).to(device)
    )


def _channel_after_channel(images: Images) -> Images:
    """Return N x H x W x C as it is in memory; a transposed view is copied in less than half of torch's time."""
    if images.flags.c_contiguous:
        return images
    copied = np.empty(images.shape, dtype=images.dtype)
    for channel in range(images.shape[-1]):
        copied[..., channel] = images[..., channel]
    return copied


def evenly(labels: Labels, count: int) -> Labels:
    """Return the places, in order, of `count` patterns spread evenly over the classes: the first ones of each.

    A class that has too few gives all it has; the others make up for it.
    """
    order = np.lexsort((labels, rank_in_class(labels)))
    return np.sort(order[:count]).astype(np.int64)
