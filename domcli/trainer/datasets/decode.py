"""Image files to one array, by Pillow, in several threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from domcli.errors import DataError
from domcli.files import read_bytes
from domcli.trainer.datasets.files import reason, say
from domcli.trainer.datasets.raw import Images

FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP", "TIFF", "GIF")
SMALLEST, LARGEST = 8, 224
GRAYSCALE = ("1", "L")
LARGEST_FILE = 64 << 20
"""Bytes: an image has at most 200 kB uncompressed, but some carry much beside it."""
CHUNK = 256
"""Files a thread takes at a time."""
OPAQUE = MOST_IN_8_BITS = 255
TIFF_BITS = 258
"""Tag of the bits of each channel."""


@dataclass(frozen=True)
class Decoded:
    """One image, and what of its file is not used."""

    pixels: Images
    """S x S x C: one channel for a grayscale image, three for every other."""
    frames: bool
    """It has more than one."""
    transparent: bool
    """Some of its pixels are, at least in part."""


def decode(files: Sequence[str]) -> Images:
    """Return the images as uint8, N x S x S x C, in the order of the files: C is 1 if all are grayscale, else 3.

    Raises DataError for a file that is not an 8-bit image, not square, not of the size of the first one, or outside
    8 to 224 pixels; of several such files the first is named.
    """
    # Pillow loads its plugins when a format is first met, which threads must not do at the same time.
    Image.init()
    side = _side(files[0])
    images = np.empty((len(files), side, side, 3), dtype=np.uint8)

    def decode_chunk(start: int) -> tuple[bool, list[str], list[str]]:
        gray, moving, transparent = True, [], []
        for number in range(start, min(start + CHUNK, len(files))):
            found = _decoded(files[number], side, files[0])
            images[number] = found.pixels
            gray = gray and found.pixels.shape[-1] == 1
            moving += [files[number]] if found.frames else []
            transparent += [files[number]] if found.transparent else []
        return gray, moving, transparent

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        chunks = list(threads.map(decode_chunk, range(0, len(files), CHUNK)))
    _tell([file for _, some, _ in chunks for file in some], "more than one frame, of which the first is used")
    _tell([file for *_, some in chunks for file in some], "transparent pixels, which are used as if they were opaque")
    return np.ascontiguousarray(images[..., :1]) if all(gray for gray, *_ in chunks) else images


def _tell(files: Sequence[str], what: str) -> None:
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        say(f"imagefolder: warning: {files[0]}{more} with {what}")


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
        return Image.open(BytesIO(read_bytes(Path(file), LARGEST_FILE)), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(f"{file} is not an image: its content is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's plugins raise anything on damaged files
        raise DataError(f"{file} cannot be read as an image: {reason(error)}") from error


def _decoded(file: str, side: int, first: str) -> Decoded:
    image = _open(file)
    if image.size != (side, side):
        width, height = image.size
        raise DataError(
            f"images must have one size, but {first} is {side} x {side} pixels and {file} is {width} x {height}"
        )
    mode = "L" if image.mode in GRAYSCALE else "RGB"
    try:
        if deep := _more_than_8_bits(image):
            raise DataError(f"{file} has more than 8 bits a channel ({deep}); save it with 8")
        transparent = _is_transparent(image)
        data = (image if image.mode == mode else image.convert(mode)).tobytes()
    except DataError:
        raise
    except Exception as error:  # Pillow's plugins raise anything on damaged files
        raise DataError(f"{file} cannot be read as an image: {reason(error)}") from error
    return Decoded(np.frombuffer(data, dtype=np.uint8).reshape(side, side, -1), _has_frames(image), transparent)


def _more_than_8_bits(image: Image.Image) -> str:
    """Return how Pillow tells that a channel has more than 8 bits, of which it would leave out all others; else ""."""
    if image.mode.startswith(("I", "F")):
        return f"Pillow mode {image.mode}"
    form = image.tile[0][3] if isinstance(image, ImageFile.ImageFile) and image.tile else None
    if image.format == "PNG" and str(form).endswith(";16B"):
        return f"PNG, {form}"
    if image.format == "PPM" and isinstance(form, tuple) and int(form[-1]) > MOST_IN_8_BITS:
        return f"PPM, up to {form[-1]}"
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = np.atleast_1d(image.tag_v2.get(TIFF_BITS, 1)).max()
        return f"TIFF, {bits} bits" if bits > 8 else ""
    return ""


def _has_frames(image: Image.Image) -> bool:
    with contextlib.suppress(Exception):  # what follows the first frame is not used, so it may be damaged
        return bool(getattr(image, "is_animated", False))
    return True


def _is_transparent(image: Image.Image) -> bool:
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < OPAQUE)
