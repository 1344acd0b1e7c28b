"""Data sets, resident on the device as uint8 from the first step to the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from domcli.catalogue import DATASETS, NO_OPTIONS
from domcli.errors import DataError
from domcli.imagetree import data_root, some
from domcli.settings import DataSettings
from domcli.trainer.datasets.files import say
from domcli.trainer.datasets.raw import Images, Labels, RawDataset, part


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


def load(settings: DataSettings, device: torch.device, options: Mapping[str, float] = NO_OPTIONS) -> Dataset:
    """Return the data set of the settings on the device; the same images in the same order whatever the seed.

    Raises DataError when files are missing, damaged or of the wrong form, and when the settings do not fit them.
    """
    raw = _read(settings, options)
    channels = raw.train_images.shape[-1]
    train = part("train", raw.train_labels, settings.train_images, raw.place)
    test = part("test", raw.test_labels, settings.test_images, raw.place)
    _look_at_classes(raw.class_names, _taken(raw.train_labels, train), _taken(raw.test_labels, test))
    return Dataset(
        train=_resident(raw.train_images, raw.train_labels, train, device),
        test=_resident(raw.test_images, raw.test_labels, test, device),
        class_names=raw.class_names,
        mean=_per_channel("data.mean", settings.mean, raw.mean, channels),
        std=_per_channel("data.std", settings.std, raw.std, channels),
    )


def _read(settings: DataSettings, options: Mapping[str, float]) -> RawDataset:
    entry = DATASETS[settings.dataset]
    # What a package brings along is there whatever the root.
    root = Path(settings.root) if entry.package is not None else data_root(settings.root)
    raw = entry.made(options)(root, entry, settings)
    if not isinstance(raw, RawDataset):
        raise DataError(f"the data set {entry.name} must return a RawDataset, and returns a {type(raw).__name__}")
    return raw


def _look_at_classes(names: Sequence[str], train: Labels, test: Labels) -> None:
    """Say which classes have none of the images that are used. Raises DataError where there is nothing to learn."""
    if len(set(train.tolist())) < 2:
        raise DataError(
            f"all training images that are used ({len(train)}) are of one class, {names[train[0]]}, so there is"
            " nothing to learn; raise data.train_images"
        )
    for split, labels in (("training", train), ("test", test)):
        counts = np.bincount(labels, minlength=len(names))
        missing = [name for name, count in zip(names, counts, strict=True) if count == 0]
        if missing:
            few = f"{len(missing)} of {len(names)} classes have none of the {len(labels)} {split} images that are used"
            say(f"warning: {few}: {some(missing)}")


def _per_channel(
    key: str, given: tuple[float, ...] | None, known: tuple[float, ...], channels: int
) -> tuple[float, ...]:
    if given is None:
        return known
    if len(given) != channels:
        raise DataError(f"{key} needs one value for each channel of the images, {channels}, but has {len(given)}")
    return given


def _taken(labels: Labels, chosen: Labels | None) -> Labels:
    return labels if chosen is None else labels[chosen]


def _resident(images: Images, labels: Labels, chosen: Labels | None, device: torch.device) -> ImageSet:
    labels = _taken(labels, chosen)
    if chosen is not None:
        images = images[chosen]
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
