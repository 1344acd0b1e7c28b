"""Street View House Numbers as they are published: a file of MATLAB's for each part."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from domcli.catalogue import Dataset, Download
from domcli.settings import DataSettings
from domcli.trainer.datasets.download import Source, obtain
from domcli.trainer.datasets.raw import RawDataset, statistics_of


def svhn(root: Path, entry: Dataset, settings: DataSettings) -> RawDataset:
    """Return SVHN (its 73,257 training images) from `root`, downloaded there when missing.

    Raises DataError when it cannot be had.
    """
    del settings
    from scipy.io import loadmat

    def part(file: Download) -> tuple[Any, Any]:
        content = loadmat(BytesIO(obtain(Source(entry.name, file), root)[file.name]))
        # The digit 0 is class 10 in these files.
        return content["X"].transpose(3, 0, 1, 2), content["y"].squeeze().astype(np.int64) % 10

    train, test = map(part, entry.downloads)
    names = tuple(str(digit) for digit in range(10))
    return RawDataset(*train, *test, names, *statistics_of(entry, train[0]), place=str(root))
