"""Small image trees for the tests of image folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from domcli.settings import DataSettings
from domcli.trainer.data import Dataset, load


def read(root: Path, **keys: object) -> Dataset:
    return load(DataSettings.model_validate({"dataset": "imagefolder", "root": str(root), **keys}), torch.device("cpu"))


def write(path: Path, side: int = 8, seed: int = 0, mode: str = "RGB", height: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height or side, side, 3) if mode == "RGB" else (height or side, side)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def plant(root: Path) -> Path:
    """Make two classes, three training images and one test image of each; return the root."""
    for number, name in enumerate(("cat", "ant")):
        for image in range(3):
            write(root / "train" / name / f"{image}.png", seed=10 * number + image)
        write(root / "test" / name / "0.png", seed=10 * number + 9)
    return root


def remove(path: Path) -> None:
    if path.is_dir():
        for entry in path.iterdir():
            remove(entry)
        path.rmdir()
    else:
        path.unlink()


def same(first: Dataset, second: Dataset) -> bool:
    tensors = [(one.train.images, one.train.labels, one.test.images, one.test.labels) for one in (first, second)]
    rest = [(one.class_names, one.mean, one.std) for one in (first, second)]
    return all(torch.equal(a, b) for a, b in zip(*tensors, strict=True)) and rest[0] == rest[1]
