"""The parts of `load` that all data sets share, and the bundled digits."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from domcli.errors import DataError
from domcli.settings import DataSettings
from domcli.trainer.data import Dataset, load
from domcli.trainer.datasets.raw import channel_statistics, evenly, rank_in_class

CPU = torch.device("cpu")


def digits(**settings: object) -> Dataset:
    return load(DataSettings.model_validate({"dataset": "digits", "root": "/nowhere", **settings}), CPU)


def test_digits_have_the_form_the_trainer_relies_on() -> None:
    data = digits()
    for part in (data.train, data.test):
        assert part.images.dtype == torch.uint8
        assert part.images.shape[1:] == (1, 8, 8)
        assert part.images.is_contiguous(memory_format=torch.channels_last)
        assert part.labels.dtype == torch.int64
        assert part.labels.shape == (len(part.images),)
        assert (part.images.min(), part.images.max()) == (0, 255)
        assert part.labels.unique().tolist() == list(range(10))
    assert data.classes == 10
    assert data.class_names == tuple("0123456789")


def test_digits_are_split_four_to_one_within_every_class_and_nothing_is_lost() -> None:
    data = digits()
    test, total = data.test.labels.bincount(), load_digits().target
    assert len(data.train.labels) + len(data.test.labels) == 1797
    assert test.tolist() == [count // 5 for count in np.bincount(total)]
    everything = torch.cat([data.train.images, data.test.images]).flatten(1).numpy()
    source = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, source))


def test_digits_are_found_wherever_scikit_learn_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = digits()
    monkeypatch.setattr("domcli.trainer.datasets.digits.FILE", Path("elsewhere"))
    other = digits()
    for part, same in ((usual.train, other.train), (usual.test, other.test)):
        assert torch.equal(part.images, same.images)
        assert torch.equal(part.labels, same.labels)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "Is a named pipe, not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "Is a device, not a regular file"),
        (lambda path: path.write_bytes(gzip.compress(b"1,2,3\n")), "it has 1 lines of 3 numbers, not 1,797 of 65"),
        (lambda path: path.write_bytes(b"1,2,3"), "Not a gzipped file"),
        (lambda path: path.write_bytes(gzip.compress(b"1,2,x")), "could not convert string"),
    ],
)
def test_digits_that_cannot_be_read_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], why: str
) -> None:
    file = tmp_path / "digits.csv.gz"
    make(file)
    monkeypatch.setattr("domcli.trainer.datasets.digits.FILE", file)
    with pytest.raises(DataError, match=rf"^cannot read {re.escape(str(file))}: {why}.*; install scikit-learn anew$"):
        digits()


def test_digits_are_the_same_every_time() -> None:
    first, second = digits(), digits()
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)


def test_statistics_come_from_the_training_images() -> None:
    data = digits()
    pixels = data.train.images.to(torch.float64) / 255
    assert data.mean == pytest.approx([pixels.mean().item()], abs=1e-12)
    assert data.std == pytest.approx([pixels.std(unbiased=False).item()], abs=1e-12)


def test_statistics_are_those_of_the_whole_set_when_few_images_are_used() -> None:
    assert digits(train_images=20).mean == digits().mean


def test_statistics_of_each_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1500, 8, 8, 3), dtype=np.uint8)
    images[..., 1] //= 2
    mean, std = channel_statistics(images)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(std, scaled.std((0, 1, 2)), atol=1e-12)


def test_a_channel_without_spread_has_a_standard_deviation_to_divide_by() -> None:
    mean, std = channel_statistics(np.full((2, 8, 8, 1), 51, dtype=np.uint8))
    assert mean == pytest.approx([0.2])
    assert std == (1.0,)


def test_mean_and_std_can_be_set_apart() -> None:
    data = digits(mean=(0.25,))
    assert data.mean == (0.25,)
    assert data.std == digits().std
    assert digits(std=(0.5,)).std == (0.5,)


@pytest.mark.parametrize("key", ["mean", "std"])
def test_mean_and_std_must_have_a_value_for_each_channel(key: str) -> None:
    with pytest.raises(DataError, match=rf"data\.{key} needs one value for each channel of the images, 1, but has 3"):
        digits(**{key: (0.5, 0.5, 0.5)})


def test_a_part_is_spread_evenly_over_the_classes_and_keeps_the_order() -> None:
    whole, part = digits(), digits(train_images=205, test_images=10)
    assert part.train.labels.bincount().tolist() == [21] * 5 + [20] * 5
    assert part.test.labels.bincount().tolist() == [1] * 10
    assert part.train.images.is_contiguous(memory_format=torch.channels_last)
    first_nines = whole.train.images[whole.train.labels == 9][:20]
    assert torch.equal(part.train.images[part.train.labels == 9], first_nines)


def test_all_images_can_be_asked_for_by_number() -> None:
    assert torch.equal(digits(train_images=1442).train.images, digits().train.images)


@pytest.mark.parametrize(("key", "there"), [("train_images", 1442), ("test_images", 355)])
def test_more_images_than_there_are(key: str, there: int) -> None:
    split = key.removesuffix("_images")
    with pytest.raises(DataError, match=rf"data\.{key} is {there + 1}, but scikit-learn has {there} {split} images"):
        digits(**{key: there + 1})


def test_classes_without_an_image_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    digits(train_images=10, test_images=10)
    assert capfd.readouterr().err == ""
    digits(train_images=9, test_images=3)
    assert capfd.readouterr().err.splitlines() == [
        "warning: 1 of 10 classes have none of the 9 training images that are used: 9",
        "warning: 7 of 10 classes have none of the 3 test images that are used: 3, 4, 5, 6, 7 and 2 more",
    ]


def test_images_of_one_class_are_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match=r"^all training images that are used \(1\) are of one class, 0, so there is"):
        digits(train_images=1)
    assert len(digits(train_images=2, test_images=1).test.labels) == 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data())
def test_evenly_takes_from_the_larger_classes_only_what_the_smaller_lack(
    labels: list[int], data: st.DataObject
) -> None:
    array = np.array(labels, dtype=np.int64)
    count = data.draw(st.integers(1, len(labels)))
    chosen = evenly(array, count)
    assert len(set(chosen.tolist())) == count
    assert chosen.tolist() == sorted(chosen.tolist())
    available, taken = np.bincount(array, minlength=5), np.bincount(array[chosen], minlength=5)
    short = taken < available
    if short.any():
        assert taken.max() - taken[short].min() <= 1


def test_rank_in_class() -> None:
    assert rank_in_class(np.array([2, 0, 2, 2, 0])).tolist() == [0, 0, 1, 2, 1]


def test_the_module_loads_no_library_of_a_single_data_set() -> None:
    code = (
        "import sys, types\n"
        "sys.modules['torch'] = types.ModuleType('torch')  # importing the real one takes seconds\n"
        "import domcli.trainer.data\n"
        "print([name for name in ('torchvision', 'sklearn', 'scipy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
