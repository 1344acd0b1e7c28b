"""What an image tree holds: its classes, its files, and a fingerprint that changes when they do."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from domcli import files, imagetree
from domcli.errors import DataError
from domcli.trainer.datasets.files import reason
from domcli.trainer.datasets.raw import Labels

Identity = tuple[int, int]
"""Of a folder: its device and inode."""
VERSION = "2"
"""Part of every fingerprint: to be raised when the same files are decoded to something else."""


@dataclass(frozen=True)
class Split:
    """The images of train/ or test/, class by class in the order of the class names, sorted within a class."""

    folder: Path
    classes: tuple[tuple[str, tuple[str, ...]], ...]
    """Name of each class, and the paths of its images in its folder."""

    def files(self) -> list[str]:
        """Return the path of each file."""
        # Paths made of strings: with 60,000 files, Path objects would cost half a second.
        return [f"{self.folder}/{name}/{file}" for name, files in self.classes for file in files]

    def labels(self) -> Labels:
        """Return the class of each file, from 0."""
        return np.repeat(np.arange(len(self.classes), dtype=np.int64), [len(files) for _, files in self.classes])

    def part(self, places: Labels) -> Split:
        """Return the files at these places alone; a class may then have none."""
        kept, classes, start = set(places.tolist()), [], 0
        for name, found in self.classes:
            classes.append((name, tuple(file for place, file in enumerate(found, start) if place in kept)))
            start += len(found)
        return replace(self, classes=tuple(classes))

    def __len__(self) -> int:
        return sum(len(files) for _, files in self.classes)


@dataclass(frozen=True)
class Tree:
    """An image tree as it lies on the disk."""

    root: Path
    class_names: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    """Changes with the names, sizes and modification times of the images."""
    mixed: str | None = None
    """The first image in a folder of its class folder, of a class that has images beside that folder, too."""

    def part(self, train: Labels | None, test: Labels | None) -> Tree:
        """Return the tree with the images at these places alone, or with all of them (None)."""
        places = (train, test)
        parts = [
            split if chosen is None else split.part(chosen)
            for split, chosen in zip((self.train, self.test), places, strict=True)
        ]
        names = (self.fingerprint, *("all" if chosen is None else str(len(chosen)) for chosen in places))
        return replace(self, train=parts[0], test=parts[1], fingerprint=" ".join(names))

    def __len__(self) -> int:
        return len(self.train) + len(self.test)


def scan(root: Path) -> Tree:
    """Return what lies under `root`. Nothing is left out but what `imagetree` lists as never an image.

    Raises DataError for what `imagetree` refuses, an empty class, and images that are no regular files.
    """
    layout = imagetree.look(root)
    digest = hashlib.sha256(VERSION.encode())
    splits = [_split(folder, layout.classes, digest) for folder in (layout.train, layout.test)]
    mixed = next((file for split in splits for file in _mixed(split)), None)
    return Tree(root, layout.classes, splits[0], splits[1], digest.hexdigest(), mixed)


def _mixed(split: Split) -> Iterator[str]:
    """Yield an image in an inner folder for each class that has images outside of one, too."""
    for name, found in split.classes:
        inner = [file for file in found if "/" in file]
        if inner and len(inner) < len(found):
            yield f"{split.folder}/{name}/{inner[0]}"


def _split(split: Path, classes: Sequence[str], digest: hashlib._Hash) -> Split:
    content = []
    for name in classes:
        folder = split / name
        found = _images(folder)
        if not found:
            raise DataError(f"the class folder {folder} has no images ({', '.join(imagetree.SUFFIXES)})")
        # Names are the bytes that the disk has, whatever the locale makes of them; none holds the byte 0.
        lines = [f"{split.name}/{name}\0", *(f"{file}\0{size}\0{time}\0" for file, size, time in found)]
        digest.update(os.fsencode("\n".join(lines)))
        content.append((name, tuple(file for file, _, _ in found)))
    return Split(split, tuple(content))


def _images(folder: Path) -> list[tuple[str, int, int]]:
    """Return path in the folder, size and modification time (ns) of each image in it, at any depth, sorted."""
    found: list[tuple[str, int, int]] = []
    try:
        waiting: list[tuple[str, tuple[Identity, ...]]] = [("", tuple(map(_identity, (folder, *folder.parents[:2]))))]
        while waiting:
            inner, above = waiting.pop()
            for entry in imagetree.entries(f"{folder}/{inner}"):
                if imagetree.is_image(entry):
                    status = entry.stat()
                    if not stat.S_ISREG(status.st_mode):
                        files.open_bytes(Path(entry.path)).close()  # refuses it, saying what it is
                    found.append((inner + entry.name, status.st_size, status.st_mtime_ns))
                else:
                    waiting.append((f"{inner}{entry.name}/", (*above, _not_above(entry, above))))
    except OSError as error:
        raise DataError(f"cannot read {error.filename or folder}: {reason(error)}") from error
    return sorted(found)


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _not_above(entry: os.DirEntry[str], above: tuple[Identity, ...]) -> Identity:
    """Return which folder it is; raises DataError if it is one that it lies in."""
    identity = _identity(Path(entry.path))
    if identity in above:
        raise DataError(f"{entry.path} is a link to a folder that it lies in")
    return identity
