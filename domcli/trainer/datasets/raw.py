"""What every data set is before it goes to the device: arrays in host memory, and its statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domcli.catalogue import Dataset
from domcli.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

MOST_CHANNELS = 4
CHUNK = 1024
"""Images counted at a time: bincount needs eight bytes for each of their values."""


@dataclass(frozen=True)
class RawDataset:
    """Images as uint8, N x H x W x C; labels from 0, N; mean and std of each channel for images in [0, 1]."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    place: str
    """Where the images come from, for messages."""

    def __post_init__(self) -> None:
        """Raise DataError for what is not as it must be."""
        for split, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            wrong = _wrong_with(images, labels, len(self.class_names))
            if wrong is not None:
                raise DataError(f"the {split} images of {self.place} cannot be used: {wrong}")
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(f"the training and the test images of {self.place} are of different shapes")


def _wrong_with(images: object, labels: object, classes: int) -> str | None:
    """Return what images and labels are and must not be; None if nothing is wrong."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        return f"they must be a uint8 array of N x height x width x channels, and are {_described(images)}"
    if images.shape[1] != images.shape[2] or images.shape[3] > MOST_CHANNELS:
        return f"they must be square, with {MOST_CHANNELS} channels at the most, and are {_described(images)}"
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        return f"their labels must be an int64 array of {len(images)}, one for each, and are {_described(labels)}"
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        return f"their labels are from {labels.min()} to {labels.max()}, and there are {classes} classes, from 0"
    return None


def _described(found: object) -> str:
    return f"{found.dtype} of {list(found.shape)}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"


def channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population standard deviation of each channel over all pixels, for images in [0, 1].

    `images`: uint8, N x H x W x C. The sums are exact integers. A channel with a single value has no spread to
    divide by: its standard deviation is given as 1, so that normalisation moves it to 0.
    """
    means, stds = [], []
    for channel in range(images.shape[-1]):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), CHUNK):
            counts += np.bincount(images[start : start + CHUNK, ..., channel].ravel(), minlength=256)
        histogram = [int(count) for count in counts]
        number = sum(histogram)
        total = sum(count * value for value, count in enumerate(histogram))
        squares = sum(count * value * value for value, count in enumerate(histogram))
        spread = number * squares - total * total
        means.append(total / (number * 255))
        stds.append(math.sqrt(spread) / (number * 255) if spread else 1.0)
    return tuple(means), tuple(stds)


def statistics_of(entry: Dataset, images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel as they are known of a data set, else of these images."""
    if entry.mean is not None and entry.std is not None:
        return entry.mean, entry.std
    return channel_statistics(images)


def rank_in_class(labels: Labels) -> Labels:
    """Return for every label how many equal labels stand before it."""
    ranks = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranks[members] = np.arange(len(members))
    return ranks


def evenly(labels: Labels, count: int) -> Labels:
    """Return the places, in order, of `count` patterns spread evenly over the classes: the first ones of each.

    A class that has too few gives all it has; the others make up for it.
    """
    order = np.lexsort((labels, rank_in_class(labels)))
    return np.sort(order[:count]).astype(np.int64)


def part(split: str, labels: Labels, wanted: int | None, place: str) -> Labels | None:
    """Return the places of the images that data.SPLIT_images asks for, None where these are all.

    Raises DataError if it asks for more than there are.
    """
    if wanted is not None and wanted > len(labels):
        raise DataError(f"data.{split}_images is {wanted}, but {place} has {len(labels)} {split} images")
    return None if wanted in (None, len(labels)) else evenly(labels, wanted)
