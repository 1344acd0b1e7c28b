"""The cache of decoded images: used when it fits, built again when it does not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from image_trees import plant, read, remove, same, write

from domcli.trainer.datasets import cache, decode

CACHE = Path(".domcli-cache/images.npz")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of files of each decoding from now on."""
    calls: list[int] = []

    def counted(files: list[str], real: Callable[[list[str]], np.ndarray] = decode.decode) -> np.ndarray:
        calls.append(len(files))
        return real(files)

    monkeypatch.setattr(decode, "decode", counted)
    return calls


def test_images_are_decoded_once(root: Path, decoded: list[int]) -> None:
    first, second = read(root), read(root)
    assert decoded == [8]
    assert same(first, second)


def touch_later(file: Path) -> None:
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def grow(file: Path) -> None:
    status = file.stat()
    with file.open("ab") as end:
        end.write(b"after the image")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "added": lambda root: write(root / "train/cat/7.png", seed=70),
    "removed": lambda root: (root / "train/cat/2.png").unlink(),
    "renamed": lambda root: (root / "train/cat/2.png").rename(root / "train/cat/3.png"),
    "rewritten": lambda root: write(root / "test/cat/0.png", seed=71),
    "touched": lambda root: touch_later(root / "test/cat/0.png"),
    "longer": lambda root: grow(root / "test/cat/0.png"),
    "moved": lambda root: (root / "train/cat/2.png").rename(root / "train/ant/9.png"),
    "class renamed": lambda root: [(root / split / "cat").rename(root / split / "dog") for split in ("train", "test")],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_tree_is_seen(root: Path, decoded: list[int], change: str) -> None:
    read(root)
    CHANGES[change](root)
    data = read(root)
    assert len(decoded) == 2
    remove(root / CACHE)
    assert same(read(root), data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 4] ^= 1
    file.write_bytes(content)


def without_images(file: Path) -> None:
    content = dict(np.load(file))
    del content["images"]
    np.savez(file, **content)


def pickled(file: Path) -> None:
    content = dict(np.load(file))
    np.savez(file, **{**content, "images": content["images"].astype(object)})


@pytest.mark.parametrize("damage", [cut, flip, without_images, pickled, lambda file: file.write_bytes(b"")])
def test_a_damaged_cache_is_built_again(root: Path, decoded: list[int], damage: Callable[[Path], object]) -> None:
    first = read(root)
    damage(root / CACHE)
    assert same(read(root), first)
    assert same(read(root), first)
    assert decoded == [8, 8]


def test_without_a_place_for_the_cache_images_are_read_all_the_same(root: Path, decoded: list[int]) -> None:
    (root / CACHE.parent).write_text("in the way")
    assert same(read(root), read(root))
    assert decoded == [8, 8]


def test_a_full_disk_leaves_no_half_of_a_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, **_: np.ndarray) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.np, "savez", full)
    assert len(read(root).train.labels) == 6
    assert not (root / CACHE.parent).exists()


def test_what_a_killed_trainer_left_is_cleared_away(root: Path) -> None:
    left = root / CACHE.parent / ".domcli-part-old"
    left.mkdir(parents=True)
    (left / "images.npz").write_bytes(b"half")
    read(root)
    assert [path.name for path in (root / CACHE.parent).iterdir()] == [CACHE.name]


def test_trainers_that_start_together_decode_once(root: Path, decoded: list[int]) -> None:
    with ThreadPoolExecutor(3) as threads:
        first, second, third = threads.map(read, [root] * 3)
    assert decoded == [8]
    assert same(first, second)
    assert same(first, third)
