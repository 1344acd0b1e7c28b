"""How image folders are laid out, before any image is opened."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from domcli import imagetree
from domcli.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my images"
    for name in ("train/ant", "train/cat", "test/ant", "test/cat"):
        (root / name).mkdir(parents=True)
    return root


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        imagetree.look(root)
    return str(caught.value)


def test_a_good_tree(root: Path) -> None:
    for other in ("train/.hidden", "train/__MACOSX", "test/@eaDir"):
        (root / other).mkdir()
    (root / "train" / "Thumbs.db").write_text("")
    (root / "train" / "dog").symlink_to(root / "train" / "cat")
    (root / "test" / "dog").mkdir()
    assert imagetree.look(root) == imagetree.Layout(root / "train", root / "test", ("ant", "cat", "dog"))


def gone(path: Path) -> None:
    path.rmdir()
    path.symlink_to("not there")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "image in no class": (
        lambda root: (root / "train" / "9.PNG").write_text(""),
        r"^HERE/train/9\.PNG lies in no class folder; imagefolder needs ROOT/train/CLASS",
    ),
    "class that is gone": (
        lambda root: [gone(root / split / "cat") for split in ("train", "test")],
        r"^HERE/train/cat is a link to something that is not there$",
    ),
    "image of another kind in no class": (
        lambda root: (root / "test" / "9.heic").write_text(""),
        r"^HERE/test/9\.heic is an image of a kind that is not read; save it as PNG$",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(root: Path, case: str) -> None:
    spoil, message = REFUSED[case]
    spoil(root)
    assert re.search(message.replace("HERE", re.escape(str(root))), refusal(root))


def test_a_val_that_would_fit_is_pointed_to(root: Path) -> None:
    (root / "test" / "cat").rmdir()
    for name in ("ant", "cat"):
        (root / "val" / name).mkdir(parents=True)
    assert refusal(root).endswith(f"; {root}/val has those of train, and is used where there is no folder test")


@pytest.mark.parametrize("root", [Path("/" + "x" * 300), Path("/x" * 3000), Path("a\0b")], ids=["name", "path", "null"])
def test_a_root_that_no_folder_can_have(root: Path) -> None:
    assert refusal(root).startswith(("cannot read /x", "there is no folder"))


def test_a_home_of_nobody() -> None:
    with pytest.raises(DataError, match=r"^data\.root is ~nobody-of-that-name/x, but that user has no home folder$"):
        imagetree.data_root("~nobody-of-that-name/x")
    assert imagetree.data_root("x") == Path.cwd() / "x"


def test_names_are_made_printable(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m\n.png")
    (root / "train" / name).write_text("")
    assert rf"{root}/train/caf\xe9\x1b[31m\n.png lies in no class folder" in refusal(root)


@pytest.mark.parametrize("with_test", [True, False])
def test_tiny_imagenet_as_it_is_published_comes_with_the_command_that_sorts_it(tmp_path: Path, with_test: bool) -> None:
    root = tmp_path / "it's tiny-imagenet-200"
    for name in ("n01", "n02"):
        (root / "train" / name / "images").mkdir(parents=True)
        (root / "train" / name / "images" / f"{name}_0.JPEG").write_text("")
        (root / "train" / name / f"{name}_boxes.txt").write_text("")
    (root / "val" / "images").mkdir(parents=True)
    lines = [f"val_{number}.JPEG\tn0{2 - number % 2}\t0\t32\t44\t62\n" for number in range(4)]
    for number in range(4):
        (root / "val" / "images" / f"val_{number}.JPEG").write_text("")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    if with_test:
        (root / "test" / "images").mkdir(parents=True)
        (root / "test" / "images" / "test_0.JPEG").write_text("")
    found = refusal(root)
    assert "is Tiny ImageNet as it is published" in found
    subprocess.run(["sh", "-c", found.partition("into class folders: ")[2]], check=True)
    assert imagetree.look(root) == imagetree.Layout(root / "train", root / "val", ("n01", "n02"))
    assert sorted(path.name for path in (root / "val" / "n01").iterdir()) == ["val_1.JPEG", "val_3.JPEG"]
