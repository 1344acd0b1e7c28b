"""CIFAR-10, CIFAR-100 and SVHN as they are published. Read without torchvision, which takes seconds to load."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from domcli.trainer.datasets.download import Source, obtain
from domcli.trainer.datasets.raw import RawDataset

Channels = tuple[float, float, float]
File = tuple[str, str]
"""Name and MD5."""

# Mean and standard deviation of every pixel of the training images, to four digits, as they are used throughout the
# literature: CIFAR-10 as in the DOM paper, CIFAR-100 of its 50,000 and SVHN of its 73,257 training images.
STATISTICS: dict[str, tuple[Channels, Channels]] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}


@dataclass(frozen=True)
class Cifar:
    """One of the two CIFARs: an archive with pickles of batches (`data`, a row an image) and of the class names."""

    url: str
    md5: str
    folder: str
    train: tuple[File, ...]
    test: tuple[File, ...]
    names: File
    labels_key: str
    names_key: str

    @property
    def archive(self) -> str:
        """Name of the archive."""
        return self.url.rpartition("/")[2]


CIFARS = {
    "cifar10": Cifar(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        folder="cifar-10-batches-py",
        train=(
            ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            ("data_batch_4", "634d18415352ddfa80567beed471001a"),
            ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ),
        test=(("test_batch", "40351d587109b95175f43aff81a1287e"),),
        names=("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        labels_key="labels",
        names_key="label_names",
    ),
    "cifar100": Cifar(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        folder="cifar-100-python",
        train=(("train", "16019d7e3df5f24257cddd939b257f8d"),),
        test=(("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        names=("meta", "7973b15100ade9c7d40fb424638fde48"),
        labels_key="fine_labels",
        names_key="fine_label_names",
    ),
}
SVHN: dict[str, File] = {
    "train": ("http://ufldl.stanford.edu/housenumbers/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "test": ("http://ufldl.stanford.edu/housenumbers/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
}
"""Address and MD5 of each file."""


def read(name: str, root: Path) -> RawDataset:
    """Return cifar10, cifar100 or svhn (its 73,257 training images) from `root`, downloaded there when missing.

    Raises DataError when files are missing or damaged and cannot be downloaded.
    """
    return _svhn(root) if name == "svhn" else _cifar(name, CIFARS[name], root)


def _cifar(name: str, cifar: Cifar, root: Path) -> RawDataset:
    unpacked = tuple((f"{cifar.folder}/{file}", md5) for file, md5 in (*cifar.train, *cifar.test, cifar.names))
    # These are pickles: what is unpickled are the very bytes whose checksum was found right.
    contents = obtain(Source(name, cifar.url, cifar.archive, cifar.md5, unpacked), root)

    def unpickled(file: File) -> dict[str, Any]:
        content: dict[str, Any] = pickle.loads(contents.pop(f"{cifar.folder}/{file[0]}"), encoding="latin1")
        return content

    def part(files: tuple[File, ...]) -> tuple[Any, Any]:
        batches = [unpickled(file) for file in files]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return images, np.concatenate([batch[cifar.labels_key] for batch in batches]).astype(np.int64)

    class_names = tuple(unpickled(cifar.names)[cifar.names_key])
    return RawDataset(*part(cifar.train), *part(cifar.test), class_names, *STATISTICS[name], place=str(root))


def _svhn(root: Path) -> RawDataset:
    from scipy.io import loadmat

    def part(split: str) -> tuple[Any, Any]:
        url, md5 = SVHN[split]
        file = url.rpartition("/")[2]
        content = loadmat(BytesIO(obtain(Source("svhn", url, file, md5), root)[file]))
        # The digit 0 is class 10 in these files.
        return content["X"].transpose(3, 0, 1, 2), content["y"].squeeze().astype(np.int64) % 10

    names = tuple(str(digit) for digit in range(10))
    return RawDataset(*part("train"), *part("test"), names, *STATISTICS["svhn"], place=str(root))
