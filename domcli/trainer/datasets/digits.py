"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 in ten classes, for quick runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domcli.trainer.datasets.raw import RawDataset, channel_statistics, rank_in_class

BRIGHTEST = 16
TEST_EVERY = 5
FILE = Path("datasets", "data", "digits.csv.gz")
"""Where scikit-learn has them: 64 pixels and the class in a line."""


def read() -> RawDataset:
    """Return the digits with one channel; every fifth image of each class is a test image, in every run."""
    table = _table()
    images = np.rint(table[:, :-1] * (255 / BRIGHTEST)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int64)
    test = rank_in_class(labels) % TEST_EVERY == TEST_EVERY - 1
    mean, std = channel_statistics(images[~test])
    return RawDataset(
        images[~test],
        labels[~test],
        images[test],
        labels[test],
        tuple(str(digit) for digit in range(10)),
        mean,
        std,
        place="scikit-learn",
    )


def _table() -> npt.NDArray[np.float64]:
    """Return pixels from 0 to 16 and, in the last column, classes."""
    package = find_spec("sklearn")
    file = Path(package.origin).parent / FILE if package and package.origin else FILE
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    # Slower: scikit-learn takes two seconds to load.
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
