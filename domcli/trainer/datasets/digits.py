"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 in ten classes, for quick runs."""

from __future__ import annotations

import gzip
import zlib
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domcli.catalogue import Dataset
from domcli.errors import DataError
from domcli.files import read_bytes
from domcli.settings import DataSettings
from domcli.trainer.datasets.files import reason
from domcli.trainer.datasets.raw import RawDataset, rank_in_class, statistics_of

BRIGHTEST = 16
TEST_EVERY = 5
SHAPE = (1797, 65)
FILE = Path("datasets", "data", "digits.csv.gz")
"""Where scikit-learn has them: 64 pixels and the class in a line."""


def digits(root: Path, entry: Dataset, settings: DataSettings) -> RawDataset:
    """Return the digits with one channel; every fifth image of each class is a test image, in every run."""
    del root, settings
    table = _table()
    images = np.rint(table[:, :-1] * (255 / BRIGHTEST)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = table[:, -1].astype(np.int64)
    test = rank_in_class(labels) % TEST_EVERY == TEST_EVERY - 1
    mean, std = statistics_of(entry, images[~test])
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
    """Return pixels from 0 to 16 and, in the last column, classes. Raises DataError for a file that is damaged."""
    package = find_spec("sklearn")
    file = Path(package.origin).parent / FILE if package and package.origin else FILE
    try:
        table = np.loadtxt(BytesIO(gzip.decompress(read_bytes(file))), delimiter=",", ndmin=2)
        if table.shape != SHAPE:
            raise ValueError(f"it has {len(table)} lines of {table.shape[1]} numbers, not {SHAPE[0]:,} of {SHAPE[1]}")
        return table
    except FileNotFoundError:
        return _from_scikit_learn()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"cannot read {file}: {reason(error)}; install scikit-learn anew") from error


def _from_scikit_learn() -> npt.NDArray[np.float64]:
    """Return the same, more slowly: scikit-learn takes two seconds to load."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target])
