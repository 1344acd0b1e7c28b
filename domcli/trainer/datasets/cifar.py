"""CIFAR-10 and CIFAR-100 as they are published: pickles of batches (`data`, a row an image) and of the class names.

Read without torchvision, which takes seconds to load.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domcli.catalogue import Dataset, Member
from domcli.settings import DataSettings
from domcli.trainer.datasets.download import Source, obtain
from domcli.trainer.datasets.raw import RawDataset, statistics_of

PARTS = (("data_batch", "train"), ("test",), ("batches.meta", "meta"))
"""How the names of the files begin that have training images, test images, and the class names."""


def cifar10(root: Path, entry: Dataset, settings: DataSettings) -> RawDataset:
    """Return CIFAR-10 from `root`, downloaded there when missing. Raises DataError when it cannot be had."""
    del settings
    return _read(root, entry, "labels", "label_names")


def cifar100(root: Path, entry: Dataset, settings: DataSettings) -> RawDataset:
    """Return CIFAR-100 with its fine classes, as `cifar10` does."""
    del settings
    return _read(root, entry, "fine_labels", "fine_label_names")


def _read(root: Path, entry: Dataset, labels_key: str, names_key: str) -> RawDataset:
    (archive,) = entry.downloads
    # These are pickles: what is unpickled are the very bytes whose checksum was found right.
    contents = obtain(Source(entry.name, archive), root)

    def unpickled(member: Member) -> dict[str, Any]:
        content: dict[str, Any] = pickle.loads(contents.pop(member.path), encoding="latin1")
        return content

    def part(members: Sequence[Member]) -> tuple[Any, Any]:
        batches = [unpickled(member) for member in members]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return images, np.concatenate([batch[labels_key] for batch in batches]).astype(np.int64)

    train, test, (names,) = (_named(archive.members, *beginnings) for beginnings in PARTS)
    training, testing = part(train), part(test)
    class_names = tuple(unpickled(names)[names_key])
    return RawDataset(*training, *testing, class_names, *statistics_of(entry, training[0]), place=str(root))


def _named(members: Sequence[Member], *beginnings: str) -> list[Member]:
    """Return the members whose file names begin so."""
    return [member for member in members if member.path.rpartition("/")[2].startswith(beginnings)]
