"""Image files to one array, by Pillow, in several threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from domcli.errors import DataError
from domcli.trainer.datasets.files import reason
from domcli.trainer.datasets.raw import Images

FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP", "TIFF", "GIF")
SMALLEST, LARGEST = 8, 224
GRAYSCALE = ("1", "L")
CHUNK = 256
"""Files a thread takes at a time."""


def decode(files: Sequence[str]) -> Images:
    """Return the images as uint8, N x S x S x C, in the order of the files: C is 1 if all are grayscale, else 3.

    Raises DataError for a file that is not an 8-bit image, not square, not of the size of the first one, or outside
    8 to 224 pixels; of several such files the first is named.
    """
    # Pillow loads its plugins when a format is first met, which threads must not do at the same time.
    Image.init()
    side = _side(files[0])
    images = np.empty((len(files), side, side, 3), dtype=np.uint8)

    def decode_chunk(start: int) -> bool:
        gray = True
        for number in range(start, min(start + CHUNK, len(files))):
            pixels = _pixels(files[number], side, files[0])
            images[number] = pixels
            gray = gray and pixels.shape[-1] == 1
        return gray

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        chunks = list(threads.map(decode_chunk, range(0, len(files), CHUNK)))
    return np.ascontiguousarray(images[..., :1]) if all(chunks) else images


def _side(file: str) -> int:
    width, height = _open(file).size
    if width != height:
        raise DataError(f"{file} is {width} x {height} pixels, but images must be square; crop or resize them")
    if not SMALLEST <= width <= LARGEST:
        raise DataError(
            f"{file} is {width} x {height} pixels, but images must be from {SMALLEST} to {LARGEST} pixels wide and high"
        )
    return width


def _open(file: str) -> Image.Image:
    """Read the file and its header; raises DataError if it is no image."""
    try:
        return Image.open(BytesIO(Path(file).read_bytes()), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(f"{file} is not an image: its content is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's plugins raise anything on damaged files
        raise DataError(f"{file} cannot be read as an image: {reason(error)}") from error


def _pixels(file: str, side: int, first: str) -> Images:
    """Return side x side x C, with one channel for a grayscale image and three for every other."""
    image = _open(file)
    if image.size != (side, side):
        width, height = image.size
        raise DataError(
            f"images must have one size, but {first} is {side} x {side} pixels and {file} is {width} x {height}"
        )
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{file} has more than 8 bits a channel (Pillow mode {image.mode}); save it with 8")
    mode = "L" if image.mode in GRAYSCALE else "RGB"
    try:
        data = (image if image.mode == mode else image.convert(mode)).tobytes()
    except Exception as error:  # Pillow's plugins raise anything on damaged files
        raise DataError(f"{file} cannot be read as an image: {reason(error)}") from error
    return np.frombuffer(data, dtype=np.uint8).reshape(side, side, -1)
