"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 in ten classes, for quick runs."""

from __future__ import annotations

import numpy as np

from domcli.trainer.datasets.raw import RawDataset, channel_statistics, rank_in_class

BRIGHTEST = 16
TEST_EVERY = 5


def read() -> RawDataset:
    """Return the digits with one channel; every fifth image of each class is a test image, in every run."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / BRIGHTEST)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int64)
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
