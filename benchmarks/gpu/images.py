"""Folders of pictures to train on: unpacked from an archive, or made."""

from __future__ import annotations

import contextlib
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np
from PIL import Image

from domcli.errors import DataError

PARTS = ("train", "test")
CIFAR10 = frozenset(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"])
CLASSES, SIZE, ROOM = 10, 32, 8
"""Of made pictures: classes, pixels a side, and by how many a pattern may be shifted."""


def look_at(archive: Path) -> None:
    """Refuse what `unpack` would refuse, as far as that is seen without unpacking it. Raises DataError."""
    missing = set(PARTS)
    with _opened(archive) as tar:
        for member in tar:
            missing.difference_update(PurePosixPath(member.name).parts[:1])
            if not missing:
                return
    _refuse(archive, missing)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a tar of train/CLASS/* and test/CLASS/*, compressed or not, as `folder`, and return it.

    A folder that is there already has been unpacked before and stays as it is. Raises DataError for an archive that
    cannot be read, or that holds something else.
    """
    if folder.exists():
        return folder
    aside = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with _opened(archive) as tar:
            aside.mkdir(parents=True)
            tar.extractall(aside, filter="data")
            missing = {part for part in PARTS if not (aside / part).is_dir()}
            if missing:
                _refuse(archive, missing)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive. Raises DataError, also for what goes wrong while it is read."""
    try:
        with tarfile.open(archive) as tar:
            yield tar
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        first, _, _ = str(error).partition("\n")  # in the others tarfile tells what each kind of compression says
        raise DataError(f"{archive} cannot be unpacked: {first.rstrip(':')}") from error


def _refuse(archive: Path, missing: Collection[str]) -> NoReturn:
    part = next(part for part in PARTS if part in missing)
    raise DataError(f"{archive} has no {part}/CLASS/*; it must hold train/CLASS/* and test/CLASS/*")


def is_cifar10(folder: Path) -> bool:
    """Tell whether a folder holds the classes of CIFAR-10."""
    return {one.name for one in (folder / "train").iterdir()} == CIFAR10


def make(folder: Path, train: int, test: int) -> Path:
    """Write pictures that can be learnt, 32 x 32 in ten classes, and return the folder.

    A class is a smooth pattern, which each picture shows shifted, darkened and with noise.
    """
    rng = np.random.default_rng(0)
    coarse = (rng.random((CLASSES, 6, 6, 3)) * 255).astype(np.uint8)
    wide = (SIZE + ROOM, SIZE + ROOM)
    patterns = [np.asarray(Image.fromarray(one).resize(wide, Image.Resampling.BICUBIC)) / 255 for one in coarse]
    for part, count in (("train", train), ("test", test)):
        for label in range(CLASSES):
            (folder / part / f"class{label}").mkdir(parents=True, exist_ok=True)
        for number in range(count):
            label = number % CLASSES
            y, x = rng.integers(0, ROOM, 2)
            shown = patterns[label][y : y + SIZE, x : x + SIZE] * rng.uniform(0.6, 1.0)
            noisy = shown + rng.normal(0, 0.12, shown.shape)
            pixels = (noisy.clip(0, 1) * 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / part / f"class{label}" / f"{number:05d}.png")
    return folder
