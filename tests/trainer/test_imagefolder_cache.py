"""The cache of decoded images: used when it fits, built again when it does not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from image_trees import plant, read, remove, same, write

from domcli.errors import DataError
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


def as_if(**changes: np.ndarray) -> Callable[[Path], object]:
    return lambda file: np.savez(file, **{**np.load(file), **changes})


FORMS = {
    "floats": as_if(images=np.zeros((8, 8, 8, 3), np.float32)),
    "too few": as_if(images=np.zeros((7, 8, 8, 3), np.uint8)),
    "two channels": as_if(images=np.zeros((8, 8, 8, 2), np.uint8)),
    "no square": as_if(images=np.zeros((8, 8, 9, 3), np.uint8)),
    "no images": as_if(images=np.uint8(3)),
    "not finite": as_if(mean=np.array([0.5, 0.5, np.nan])),
    "no spread": as_if(std=np.zeros(3)),
    "one mean": as_if(mean=np.zeros(1)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_cache_of_another_form_is_built_again(root: Path, decoded: list[int], form: str) -> None:
    first = read(root)
    FORMS[form](root / CACHE)
    assert same(read(root), first)
    assert same(read(root), first)
    assert decoded == [8, 8]


@pytest.mark.parametrize("kind", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_cache_that_is_no_regular_file_is_replaced(
    root: Path, decoded: list[int], kind: Callable[[Path], object]
) -> None:
    first = read(root)
    (root / CACHE).unlink()
    kind(root / CACHE)
    assert same(read(root), first)
    assert (root / CACHE).is_file()
    assert same(read(root), first)
    assert decoded == [8, 8]


KNOWN = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}
FEW = {"train_images": 3, "test_images": 1}


def test_with_known_statistics_no_more_is_decoded_than_is_used(root: Path, decoded: list[int]) -> None:
    whole = read(root, **KNOWN, **FEW)
    assert decoded == [4]
    assert same(read(root, **KNOWN, **FEW), whole)
    assert same(read(root, **{**KNOWN, "mean": (0.1, 0.1, 0.1)}, **FEW), whole) is False
    assert decoded == [4]
    assert read(root, **KNOWN, train_images=4).train.labels.tolist() == [0, 0, 1, 1]
    assert decoded == [4, 6]
    read(root, **KNOWN)
    assert decoded == [4, 6, 8]
    assert same(read(root, **KNOWN, **FEW), whole)
    assert decoded == [4, 6, 8]


@pytest.mark.parametrize("known", [{}, {"mean": KNOWN["mean"]}, {"std": KNOWN["std"]}])
def test_statistics_of_all_images_need_all_and_the_log_says_why(
    root: Path, decoded: list[int], known: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    few = read(root, **known, **FEW)
    assert decoded == [8]
    assert "reading 8 images" in (said := capfd.readouterr().err)
    assert "of which 4 are used: mean and standard deviation are those of all training images" in said
    assert (few.mean == KNOWN["mean"], few.std == KNOWN["std"]) == ("mean" in known, "std" in known)


def test_a_part_in_gray_of_a_tree_in_colour_has_three_channels(tmp_path: Path, decoded: list[int]) -> None:
    for folder in ("train/a", "train/b", "test/a", "test/b"):
        write(tmp_path / folder / "0.png", mode="L")
        write(tmp_path / folder / "1.png", mode="RGB")
    whole = read(tmp_path, train_images=2, test_images=2)
    remove(tmp_path / CACHE.parent)
    for _ in range(2):
        assert torch.equal(read(tmp_path, **KNOWN, train_images=2, test_images=2).train.images, whole.train.images)
    assert decoded == [8, 4, 8]


def test_an_image_that_is_not_used_is_not_opened(root: Path) -> None:
    (root / "train" / "cat" / "2.png").write_text("no image")
    assert len(read(root, **KNOWN, train_images=4).train.labels) == 4


def test_more_images_than_there_are_is_said_before_any_is_read(root: Path, decoded: list[int]) -> None:
    with pytest.raises(DataError, match=r"data\.train_images is 7, but .* has 6 train images"):
        read(root, train_images=7)
    assert decoded == []


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
