"""CIFAR-10, CIFAR-100 and SVHN: addresses, checksums and file formats are torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from domcli.trainer.datasets.download import Source, obtain
from domcli.trainer.datasets.raw import RawDataset

Channels = tuple[float, float, float]

# Mean and standard deviation of every pixel of the training images, to four digits, as they are used throughout the
# literature: CIFAR-10 as in the DOM paper, CIFAR-100 of its 50,000 and SVHN of its 73,257 training images.
STATISTICS: dict[str, tuple[Channels, Channels]] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


def read(name: str, root: Path) -> RawDataset:
    """Return cifar10, cifar100 or svhn (its 73,257 training images) from `root`, downloaded there when missing.

    Raises DataError when files are missing or damaged and cannot be downloaded.
    """
    return _svhn(root) if name == "svhn" else _cifar(name, root)


def _cifar(name: str, root: Path) -> RawDataset:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    unpacked = tuple((f"{kind.base_folder}/{file}", md5) for file, md5 in files)
    # The files are pickles: torchvision may open them only once every checksum has been found right.
    obtain(Source(name, kind.url, kind.filename, kind.tgz_md5, unpacked), root)
    train, test = kind(root, train=True), kind(root, train=False)
    return RawDataset(
        train.data,
        np.asarray(train.targets, dtype=np.int64),
        test.data,
        np.asarray(test.targets, dtype=np.int64),
        tuple(train.classes),
        *STATISTICS[name],
        place=str(root),
    )


def _svhn(root: Path) -> RawDataset:
    from torchvision import datasets

    for split in ("train", "test"):
        url, filename, md5 = datasets.SVHN.split_list[split]
        obtain(Source("svhn", url, filename, md5), root)
    train: Any = datasets.SVHN(root, split="train")
    test: Any = datasets.SVHN(root, split="test")
    return RawDataset(
        train.data.transpose(0, 2, 3, 1),
        train.labels,
        test.data.transpose(0, 2, 3, 1),
        test.labels,
        tuple(str(digit) for digit in range(10)),
        *STATISTICS["svhn"],
        place=str(root),
    )
