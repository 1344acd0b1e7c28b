"""The shape of an image tree: its classes, its files, and a fingerprint that changes when they do."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domcli.errors import DataError
from domcli.trainer.datasets.files import reason
from domcli.trainer.datasets.raw import Labels

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".webp", ".tif", ".tiff", ".gif")
"""Of the formats that decode.py reads."""
LAYOUT = "imagefolder needs ROOT/train/CLASS/* and ROOT/test/CLASS/* (or ROOT/val/CLASS/*)"
VERSION = "1"
"""Part of every fingerprint: to be raised when the same files are decoded to something else."""


@dataclass(frozen=True)
class Split:
    """The files of train/ or test/, class by class in the order of the class names, sorted within a class."""

    folder: Path
    classes: tuple[tuple[str, tuple[str, ...]], ...]
    """Name of each class and of its files."""

    def files(self) -> list[str]:
        """Return the path of each file."""
        # Paths made of strings: with 60,000 files, Path objects would cost half a second.
        return [f"{self.folder}/{name}/{file}" for name, files in self.classes for file in files]

    def labels(self) -> Labels:
        """Return the class of each file, from 0."""
        return np.repeat(np.arange(len(self.classes), dtype=np.int64), [len(files) for _, files in self.classes])


@dataclass(frozen=True)
class Tree:
    """An image tree as it lies on the disk."""

    root: Path
    class_names: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    """Changes with the names, sizes and modification times of the images."""


def scan(root: Path) -> Tree:
    """Return what lies under `root`. Files without the suffix of an image, and hidden ones, are left out.

    Raises DataError for a missing folder, an empty class, fewer than two classes, and classes that train/ and test/
    do not share.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root} (data.root); {LAYOUT}")
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if not train.is_dir():
        raise DataError(f"{root} (data.root) has no folder train; {LAYOUT}")
    if test is None:
        raise DataError(f"{root} (data.root) has neither a folder test nor a folder val; {LAYOUT}")
    classes = _classes(train)
    _require_same(train, classes, test, _classes(test))
    if len(classes) < 2:
        found = f"only one class folder, {classes[0]}" if classes else "no class folders"
        raise DataError(f"{train} has {found}, but there is nothing to learn with fewer than two; {LAYOUT}")
    digest = hashlib.sha256(VERSION.encode())
    splits = [_split(folder, classes, digest) for folder in (train, test)]
    return Tree(root, tuple(classes), splits[0], splits[1], digest.hexdigest())


def _classes(split: Path) -> list[str]:
    try:
        with os.scandir(split) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except OSError as error:
        raise DataError(f"cannot list {split}: {reason(error)}") from error


def _require_same(train: Path, train_classes: list[str], test: Path, test_classes: list[str]) -> None:
    parts = [
        f"only {folder} has {_some(sorted(set(some) - set(others)))}"
        for folder, some, others in ((train, train_classes, test_classes), (test, test_classes, train_classes))
        if set(some) - set(others)
    ]
    if parts:
        raise DataError(f"{train} and {test} must have the same class folders, but {' and '.join(parts)}")


def _some(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _split(split: Path, classes: list[str], digest: hashlib._Hash) -> Split:
    content = []
    for name in classes:
        folder = split / name
        found = _images(folder)
        if not found:
            raise DataError(f"the class folder {folder} has no images ({', '.join(SUFFIXES)})")
        lines = [f"{split.name}/{name}", *(f"{file}\0{size}\0{time}" for file, size, time in found)]
        digest.update("\n".join(lines).encode("utf-8", "surrogateescape"))
        content.append((name, tuple(file for file, _, _ in found)))
    return Split(split, tuple(content))


def _images(folder: Path) -> list[tuple[str, int, int]]:
    """Return name, size and modification time (ns) of each image, sorted by name."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
                    status = entry.stat()
                    found.append((entry.name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise DataError(f"cannot read {error.filename or folder}: {reason(error)}") from error
    return sorted(found)
