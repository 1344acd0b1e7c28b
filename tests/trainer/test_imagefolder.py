"""Image folders: what is read and what is refused."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_trees import plant, read, remove, same, write
from PIL import Image

from domcli.errors import DataError
from domcli.trainer.data import Dataset

MODES = {"RGB": (8, 8, 3), "L": (8, 8)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path)


def test_classes_and_files_are_sorted_by_name(root: Path) -> None:
    data = read(root)
    assert data.class_names == ("ant", "cat")
    assert data.classes == 2
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    for place, file in enumerate(["ant/0", "ant/1", "ant/2", "cat/0", "cat/1", "cat/2"]):
        pixels = np.asarray(Image.open(root / "train" / f"{file}.png"))
        assert np.array_equal(data.train.images[place].permute(1, 2, 0).numpy(), pixels)
    assert data.train.images.dtype == torch.uint8
    assert data.train.images.is_contiguous(memory_format=torch.channels_last)


def test_val_stands_in_for_test(root: Path) -> None:
    expected = read(root)
    (root / "test").rename(root / "val")
    assert same(read(root), expected)


def test_other_files_and_hidden_folders_are_left_alone(root: Path) -> None:
    expected = read(root)
    for other in ("train/ant/notes.txt", "train/README", "train/.ipynb_checkpoints/a.png", "train/ant/._0.png"):
        (root / other).parent.mkdir(exist_ok=True)
        (root / other).write_text("no image")
    assert same(read(root), expected)


@pytest.mark.parametrize("suffix", ["png", "BMP", "ppm", "tiff", "webp", "jpg", "JPEG", "gif"])
def test_formats(root: Path, suffix: str) -> None:
    file = root / "train" / "ant" / f"9.{suffix}"
    image = Image.new("RGB", (8, 8), (200, 200, 200))
    image.save(file)
    pixels = read(root).train.images[3]
    assert pixels.float().sub(200).abs().max() <= 2


def gray_tree(root: Path, mode: str) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            file = root / split / name / "0.png"
            write(file, mode="L")
            Image.open(file).convert(mode).save(file)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grayscale_trees_have_one_channel(tmp_path: Path, mode: str) -> None:
    gray_tree(tmp_path, mode)
    data = read(tmp_path)
    assert data.train.images.shape == (2, 1, 8, 8)
    assert len(data.mean) == len(data.std) == 1
    assert data.train.images.max() > 200
    assert same(read(tmp_path), data)


@pytest.mark.parametrize("colour", ["train/a", "train/b", "test/b"])
def test_one_colour_image_makes_all_rgb(tmp_path: Path, colour: str) -> None:
    gray_tree(tmp_path, "L")
    gray = read(tmp_path)
    write(tmp_path / colour / "1.png", mode="RGB")
    data = read(tmp_path)
    assert data.train.images.shape[1] == data.test.images.shape[1] == 3
    assert torch.equal(data.train.images[0], gray.train.images[0].expand(3, 8, 8))


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "LA"])
def test_other_colour_modes_become_rgb(root: Path, mode: str) -> None:
    file = root / "train" / "ant" / ("9.tiff" if mode == "CMYK" else "9.png")
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(file)
    assert (read(root).train.images[3] == 255).all()


def test_statistics_are_those_of_the_training_images(root: Path) -> None:
    data = read(root, train_images=2)
    scaled = read(root).train.images.double() / 255
    assert data.mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert data.std == pytest.approx(scaled.std((0, 2, 3), unbiased=False).tolist(), abs=1e-12)


def test_a_part_is_counted_in_images_of_the_folder(root: Path) -> None:
    assert read(root, train_images=4).train.labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError, match=rf"data\.test_images is 3, but {re.escape(str(root))} has 2 test images"):
        read(root, test_images=3)


def without(*paths: str) -> Callable[[Path], object]:
    return lambda root: [remove(root / path) for path in paths]


def sixteen_bit(root: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(root / "train/ant/1.png")


def truncated(root: Path) -> None:
    file = root / "train/ant/1.png"
    file.write_bytes(file.read_bytes()[:-60])


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no root": (remove, r"there is no folder HERE \(data\.root\).*ROOT/train/CLASS"),
    "no train": (without("train"), r"HERE \(data\.root\) has no folder train;.*ROOT/train/CLASS"),
    "no test": (without("test"), r"HERE \(data\.root\) has neither a folder test nor a folder val"),
    "no classes": (
        without("train/ant", "train/cat", "test/ant", "test/cat"),
        r"HERE/train has no class folders",
    ),
    "one class": (without("train/ant", "test/ant"), r"HERE/train has only one class folder, cat"),
    "class only in train": (without("test/ant"), r"the same class folders, but only HERE/train has ant$"),
    "class only in test": (without("train/cat"), r"the same class folders, but only HERE/test has cat$"),
    "different classes": (
        lambda root: (root / "test/cat").rename(root / "test/cow"),
        r"only HERE/train has cat and only HERE/test has cow$",
    ),
    "empty class": (without("test/cat/0.png"), r"the class folder HERE/test/cat has no images"),
    "mixed sizes": (
        lambda root: write(root / "test/cat/0.png", side=16),
        r"one size, but HERE/train/ant/0\.png is 8 x 8 pixels and HERE/test/cat/0\.png is 16 x 16",
    ),
    "one not square": (
        lambda root: write(root / "train/cat/0.png", height=9),
        r"HERE/train/ant/0\.png is 8 x 8 pixels and HERE/train/cat/0\.png is 8 x 9",
    ),
    "first not square": (
        lambda root: write(root / "train/ant/0.png", height=9),
        r"HERE/train/ant/0\.png is 8 x 9 pixels, but images must be square",
    ),
    "too small": (lambda root: write(root / "train/ant/0.png", side=7), r"0\.png is 7 x 7 pixels, .* from 8 to 224"),
    "too large": (lambda root: write(root / "train/ant/0.png", side=225), r"0\.png is 225 x 225 pixels, .*8 to 224"),
    "no image": (
        lambda root: (root / "train/ant/1.png").write_text("hello"),
        r"HERE/train/ant/1\.png is not an image: its content is none of JPEG, PNG",
    ),
    "empty file": (lambda root: (root / "train/ant/1.png").write_bytes(b""), r"HERE/train/ant/1\.png is not an image"),
    "truncated": (truncated, r"HERE/train/ant/1\.png cannot be read as an image"),
    "a folder": (
        lambda root: (remove(root / "train/ant/1.png"), (root / "train/ant/1.png").mkdir()),
        r"cannot read HERE/train/ant/1\.png: Is a folder, not a regular file$",
    ),
    "dangling link": (
        lambda root: (remove(root / "train/ant/1.png"), (root / "train/ant/1.png").symlink_to("gone")),
        r"cannot read HERE/train/ant/1\.png: No such file",
    ),
    "sixteen bits": (sixteen_bit, r"HERE/train/ant/1\.png has more than 8 bits a channel"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_named_and_nothing_is_left_behind(root: Path, case: str) -> None:
    spoil, message = REFUSED[case]
    spoil(root)
    with pytest.raises(DataError, match=message.replace("HERE", re.escape(str(root)))) as caught:
        read(root)
    assert "\n" not in str(caught.value)
    assert not (root / ".domcli-cache").exists()


def test_of_several_bad_files_the_first_is_named(root: Path) -> None:
    for file in ("train/cat/0.png", "train/ant/2.png", "test/ant/0.png"):
        (root / file).write_text("no image")
    with pytest.raises(DataError, match=r"train/ant/2\.png"):
        read(root)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, tuple[str, int]]:
    """Path of every file of a good tree, with its mode and seed."""
    letters = st.text("abcXYZ09 _-äß", min_size=1, max_size=5).filter(lambda name: name == name.strip())
    classes = draw(st.lists(letters, min_size=2, max_size=4, unique_by=str.lower))
    tree = {}
    for split in ("train", draw(st.sampled_from(["test", "val"]))):
        for name in classes:
            for number in range(draw(st.integers(1, 3))):
                suffix, mode = draw(st.sampled_from(["png", "bmp", "tif"])), draw(st.sampled_from(sorted(MODES)))
                tree[f"{split}/{name}/{number}.{suffix}"] = (mode, draw(st.integers(0, 99)))
    return tree


@settings(max_examples=25)
@given(trees())
def test_any_good_tree_comes_back_pixel_by_pixel(tree: dict[str, tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, (mode, seed) in tree.items():
            write(root / path, mode=mode, seed=seed)
        data = read(root)
        channels = 1 if {mode for mode, _ in tree.values()} == {"L"} else 3
        for part, prefix in ((data.train, "train/"), (data.test, ("test/", "val/"))):
            files = sorted((path.split("/")[1:], path) for path in tree if path.startswith(prefix))
            assert [data.class_names[label] for label in part.labels] == [name for (name, _), _ in files]
            for image, (_, path) in zip(part.images, files, strict=True):
                expected = np.asarray(Image.open(root / path).convert("L" if channels == 1 else "RGB"))
                assert np.array_equal(image.permute(1, 2, 0).squeeze(-1).numpy(), expected)
        assert same(read(root), data)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=60)
@given(st.data())
def test_a_damaged_image_is_read_or_refused_by_name(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path in ("train/a/0.png", "train/b/0.png", "test/a/0.png", "test/b/0.png"):
            write(root / path)
        suffix = data.draw(st.sampled_from(["png", "jpg", "gif", "webp", "bmp", "tiff", "ppm"]))
        file = write(root / f"train/a/1.{suffix}")
        if suffix in ("png", "gif", "webp", "tiff") and data.draw(st.booleans()):
            frames = [Image.new("RGBA", (8, 8), (colour, 0, 0, colour)) for colour in (50, 100, 255)]
            frames[0].save(file, save_all=True, append_images=frames[1:])
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        outcome = attempt(root)
        assert str(file) in outcome if isinstance(outcome, str) else outcome.train.images.shape == (3, 3, 8, 8)


def attempt(root: Path) -> Dataset | str:
    """Return the data set, or the sentence that refuses it."""
    try:
        return read(root)
    except DataError as error:
        return str(error)
