"""Trees of images: ROOT/train/CLASS/* and ROOT/test/CLASS/* (or ROOT/val/CLASS/*), decoded once and cached."""

from __future__ import annotations

from pathlib import Path

from domcli.catalogue import Dataset
from domcli.settings import DataSettings
from domcli.trainer.datasets import cache
from domcli.trainer.datasets.files import locked, say
from domcli.trainer.datasets.raw import RawDataset, channel_statistics, part
from domcli.trainer.datasets.tree import Tree, scan

CACHE = Path(".domcli-cache")
ALL, PART = CACHE / "images.npz", CACHE / "part.npz"
"""The images of the tree, and those of the latest run that read no more than it used."""


def imagefolder(root: Path, entry: Dataset, settings: DataSettings) -> RawDataset:
    """Return the images of the tree, square and of one size from 8 to 224, with one channel if all are grayscale.

    They are kept in ROOT/.domcli-cache, if ROOT is writable, until the tree changes. Mean and standard deviation are
    those of all training images. Where the settings have both, no more images are read, and returned, than those that
    are used. Raises DataError naming the folder or file that is not as it must be.
    """
    del entry
    tree = scan(root)
    used = tree.part(
        part("train", tree.train.labels(), settings.train_images, str(root)),
        part("test", tree.test.labels(), settings.test_images, str(root)),
    )
    if tree.mixed:
        say(f"imagefolder: warning: {tree.mixed} lies deeper in its class folder than other images; all are used")
    # Of several trainers that start together, one decodes the images and the others wait for them.
    with locked(root) as alone:
        content = cache.load(root / ALL, tree.fingerprint, len(tree))
        if content is None and len(used) < len(tree) and settings.mean is not None and settings.std is not None:
            content = cache.load(root / PART, used.fingerprint, len(used)) or _decode(used, PART, alone=alone)
            if content.images.shape[-1] < len(settings.mean):
                content = None  # all of these are grayscale, and only all images of the tree can tell whether it is
            else:
                tree = used
        if content is None:
            content = _decode(tree, ALL, alone=alone, used=len(used))
    labels = tree.train.labels()
    train = len(labels)
    return RawDataset(
        content.images[:train],
        labels,
        content.images[train:],
        tree.test.labels(),
        tree.class_names,
        content.mean,
        content.std,
        place=str(root),
    )


def _decode(tree: Tree, path: Path, *, alone: bool, used: int | None = None) -> cache.Content:
    """Decode the images of the tree and store them in its cache. `used`: how many of them the run uses, if known."""
    from domcli.trainer.datasets.decode import decode  # loads Pillow, which the cache saves

    why = ""
    if used is not None and used < len(tree):
        why = (
            f", of which {used} are used: mean and standard deviation are those of all training images;"
            " with data.mean and data.std set, only those that are used are read"
        )
    say(f"imagefolder: reading {len(tree)} images of {tree.root}{why}")
    images = decode([*tree.train.files(), *tree.test.files()])
    content = cache.Content(images, *channel_statistics(images[: len(tree.train.labels())]))
    cache.store(tree.root / path, tree.fingerprint, content, alone=alone)
    return content
