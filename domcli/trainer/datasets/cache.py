"""Decoded images in one uncompressed .npz file without pickles; zip's own CRC tells damaged files."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domcli.files import open_bytes
from domcli.trainer.datasets.files import aside
from domcli.trainer.datasets.raw import Images


@dataclass(frozen=True)
class Content:
    """Images of a tree, N x H x W x C, and the statistics of its training images."""

    images: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]


def load(path: Path, fingerprint: str, count: int) -> Content | None:
    """Return the content stored for this fingerprint, or None if there is no such file or it cannot be used.

    `count`: how many images it must have.
    """
    # A damaged zip file fails in a dozen ways. The images are the truth, so any failure means: decode them again.
    try:
        with open_bytes(path) as stored, np.load(stored, allow_pickle=False) as file:
            if str(file["fingerprint"]) != fingerprint:
                return None
            mean, std = (tuple(float(value) for value in file[key]) for key in ("mean", "std"))
            content = Content(file["images"], mean, std)
    except Exception:
        return None
    return content if _is_sound(content, count) else None


def _is_sound(content: Content, count: int) -> bool:
    """Tell whether it has the form that was stored: anybody may have written the file."""
    images, channels = content.images, content.images.shape[-1:]
    return (
        images.dtype == np.uint8
        and images.ndim == 4
        and len(images) == count
        and images.shape[1] == images.shape[2]
        and channels in ((1,), (3,))
        and (len(content.mean),) == (len(content.std),) == channels
        and all(map(math.isfinite, (*content.mean, *content.std)))
        and min(content.std) > 0
    )


def store(path: Path, fingerprint: str, content: Content, *, alone: bool) -> None:
    """Write the content aside and rename it to `path`; where that is impossible, leave things as they are."""
    made = not path.parent.exists()
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        with aside(path.parent, alone=alone) as part:
            np.savez(
                part / path.name,
                images=content.images,
                mean=np.array(content.mean),
                std=np.array(content.std),
                fingerprint=np.array(fingerprint),
            )
            (part / path.name).replace(path)
            return
    if made:
        with contextlib.suppress(OSError):
            path.parent.rmdir()
