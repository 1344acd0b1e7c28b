"""Trees of images: ROOT/train/CLASS/* and ROOT/test/CLASS/* (or ROOT/val/CLASS/*), decoded once and cached."""

from __future__ import annotations

import sys
from pathlib import Path

from domcli.trainer.datasets import cache
from domcli.trainer.datasets.files import locked
from domcli.trainer.datasets.raw import RawDataset, channel_statistics
from domcli.trainer.datasets.tree import Tree, scan

CACHE = Path(".domcli-cache") / "images.npz"


def read(root: Path) -> RawDataset:
    """Return the images of the tree, square and of one size from 8 to 224, with one channel if all are grayscale.

    They are kept in ROOT/.domcli-cache, if ROOT is writable, until the tree changes. Mean and standard deviation are
    those of all training images. Raises DataError naming the folder or file that is not as it must be.
    """
    tree = scan(root)
    # Of several trainers that start together, one decodes the images and the others wait for them.
    with locked(root) as alone:
        content = cache.load(root / CACHE, tree.fingerprint) or _decode(tree, alone=alone)
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


def _decode(tree: Tree, *, alone: bool) -> cache.Content:
    """Decode the images of the tree and store them in its cache."""
    from domcli.trainer.datasets.decode import decode  # loads Pillow, which the cache saves

    train_files = tree.train.files()
    files = [*train_files, *tree.test.files()]
    sys.stderr.write(f"imagefolder: reading {len(files)} images of {tree.root}\n")
    images = decode(files)
    content = cache.Content(images, *channel_statistics(images[: len(train_files)]))
    cache.store(tree.root / CACHE, tree.fingerprint, content, alone=alone)
    return content
