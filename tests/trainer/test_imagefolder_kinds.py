"""What may lie in an image folder beside good images: other kinds of files, odd names, inner folders, odd images."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from image_trees import plant, read, same, write
from PIL import Image

from domcli import imagetree
from domcli.errors import DataError
from domcli.trainer.datasets import decode, tree

HANG_SECONDS = 60


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """Turn a read that never ends into a failure."""

    def fail(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(HANG_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path)


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket may have 107 bytes
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "Is a named pipe, not a regular file"),
    "socket": (listen, "Is a socket, not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "Is a device, not a regular file"),
    "folder": (Path.mkdir, "Is a folder, not a regular file"),
    "link to nothing": (lambda path: path.symlink_to("gone"), "No such file or directory"),
    "link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_refused_by_name(root: Path, kind: str, cached: bool) -> None:
    make, why = KINDS[kind]
    if cached:
        read(root)
    file = root / "train" / "ant" / "1.png"
    file.unlink()
    make(file)
    with pytest.raises(DataError, match=f"^cannot read {re.escape(str(file))}: {why}$"):
        read(root)


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_become_no_regular_file_is_refused_when_it_is_decoded(root: Path, kind: str) -> None:
    make, why = KINDS[kind]
    make(root / "x.png")
    for files in ([str(root / "x.png")], [str(root / "train/ant/0.png"), str(root / "x.png")]):
        with pytest.raises(DataError, match=rf"/x\.png cannot be read as an image: {why}$"):
            decode.decode(files)


def test_a_file_that_cannot_be_read_is_refused_by_name(root: Path) -> None:
    file = root / "train" / "ant" / "9.png"
    file.symlink_to("/proc/self/mem")  # a regular file whose first bytes nobody, root neither, can read
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))} cannot be read as an image: Input/output error$"):
        read(root)


def test_a_huge_file_is_refused_by_name(root: Path) -> None:
    file = root / "train" / "ant" / "9.png"
    shutil.copy(root / "train/ant/0.png", file)
    os.truncate(file, decode.LARGEST_FILE + 1)
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))} cannot be read as an image: Has more than 64 MB$"):
        read(root)


NAMES = (b"caf\xe9", b"a\nb", b"\x1b[31mred", b"\xff\xfe", "\u202egnp".encode(), b"a\tb\\c", "ä".encode())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_and_a_class_may_have_any_name(root: Path, name: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    expected = read(root)
    shutil.rmtree(root / ".domcli-cache")
    for split in ("train", "test"):
        (root / split / "ant").rename(root / split / os.fsdecode(b"a" + name))
    (root / "train" / "cat" / "2.png").rename(root / "train" / "cat" / os.fsdecode(name + b".png"))
    first, second = read(root), read(root)
    assert first.class_names == (os.fsdecode(b"a" + name), "cat")
    assert same(first, second)
    assert sorted(map(hash_of, first.train.images)) == sorted(map(hash_of, expected.train.images))
    assert capfd.readouterr().err.count("imagefolder: reading 8 images") == 2


def hash_of(image: torch.Tensor) -> bytes:
    return image.numpy().tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_image_of_any_name_is_named_in_one_printable_line(root: Path, name: bytes) -> None:
    (root / "train" / "cat" / os.fsdecode(name + b".png")).write_text("no image")
    (root / "train" / "ant" / os.fsdecode(name)).mkdir()
    with pytest.raises(DataError) as caught:
        read(root)
    assert str(caught.value).isprintable()
    assert "is not an image" in str(caught.value)
    assert f"{root}/train/cat/" in str(caught.value)


def test_a_root_of_any_name_is_said_in_one_printable_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"\xff\x1b]0;title\x07\n")
    plant(folder)
    monkeypatch.chdir(folder)
    assert same(read(Path()), read(Path()))
    assert capfd.readouterr().err == rf"imagefolder: reading 8 images of {tmp_path}/\xff\x1b]0;title\x07\n" + "\n"


def test_the_fingerprint_tells_names_with_newlines_apart(tmp_path: Path) -> None:
    found = set()
    for number, (name, file) in enumerate((("a", "b\nc.png"), ("a\nb", "c.png"))):
        for split in ("train", "test"):
            for path in (Path(name, file), Path("z", "0.png")):
                path = write(tmp_path / str(number) / split / path)
                os.utime(path, ns=(0, 0))
        found.add(tree.scan(tmp_path / str(number)).fingerprint)
    assert len(found) == 2


def test_images_in_inner_folders_are_used_like_all_others(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = read(root)
    for split, name in (("train", "ant"), ("train", "cat"), ("test", "ant"), ("test", "cat")):
        inner = root / split / name / "images" / "more"
        inner.mkdir(parents=True)
        for file in list((root / split / name).glob("*.png")):
            file.rename(inner / file.name)
        (root / split / name / "boxes.txt").write_text("")
    assert same(read(root), expected)
    assert "warning" not in capfd.readouterr().err


def test_images_in_inner_folders_beside_others_are_used_too_and_told(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write(root / "train" / "cat" / "images" / f"{number}.png", seed=50 + number)
    (root / "train" / "cat" / "link").symlink_to(root / "train" / "ant")
    warning = (
        f"imagefolder: warning: {root}/train/cat/images/0.png lies deeper in its class folder than other images;"
        " all are used\n"
    )
    for _ in range(2):
        data = read(root)
        assert data.train.labels.tolist() == [0] * 3 + [1] * 9
        assert warning in capfd.readouterr().err
    files = [*(f"{number}" for number in range(3)), *(f"images/{number}" for number in range(3))]
    for place, file in enumerate([*files, *(f"link/{number}" for number in range(3))], 3):
        pixels = np.asarray(Image.open(root / "train" / "cat" / f"{file}.png"))
        assert np.array_equal(data.train.images[place].permute(1, 2, 0).numpy(), pixels)


def test_folders_of_the_system_and_hidden_ones_hold_no_images(root: Path) -> None:
    expected = read(root)
    for folder in ("train/ant/__MACOSX", "train/@eaDir", "test/cat/@eaDir/0.png", "train/ant/.ipynb_checkpoints"):
        write(root / folder / "1.png")
    (root / "train" / "ant" / "Thumbs.db").write_text("")
    assert same(read(root), expected)


def test_an_image_of_a_kind_that_is_not_read_is_not_left_out(root: Path) -> None:
    (root / "train" / "ant" / "9.AVIF").write_text("")
    with pytest.raises(DataError, match=rf"^{re.escape(str(root))}/train/ant/9\.AVIF is an image of a kind"):
        read(root)


RENAME = "end in .png, .jpg or what else it is, otherwise move it out of the image folder"
HIDDEN = (
    "is a file hidden by the dot before its name; if it is an image, rename it to begin without a dot and " + RENAME
)
MAYBE_IMAGES = {
    "noext": f"has no suffix; if it is an image, rename it to {RENAME}",
    "5.": f"has no suffix; if it is an image, rename it to {RENAME}",
    "READMEs": f"has no suffix; if it is an image, rename it to {RENAME}",
    ".5.png": HIDDEN,
    ".png": HIDDEN,
    ".hidden": HIDDEN,
    ".HEIC": HIDDEN,
    "9.HeIC": "is an image of a kind that is not read; save it as PNG",
    **{
        name: f"ends in {suffix}, which is no kind of image that is read; if it is one, save it as PNG, otherwise"
        " move it out of the image folder"
        for name, suffix in (("2.npy", ".npy"), ("4.png.gz", ".gz"), ("a.zip", ".zip"), ("1.PNG~", ".PNG~"))
    },
}
"""Names of files that were given for images, perhaps, and how each is refused."""


@pytest.mark.parametrize("place", ["train/ant", "test/cat", "train/ant/inner", "train"])
@pytest.mark.parametrize("name", MAYBE_IMAGES)
def test_what_may_be_an_image_is_refused_by_name(root: Path, name: str, place: str) -> None:
    read(root)
    file = root / place / name
    file.parent.mkdir(exist_ok=True)
    shutil.copy(root / "train" / "ant" / "0.png", file)
    sentence = f"^{re.escape(f'{file} {MAYBE_IMAGES[name]}')}$"
    for look in (read, imagetree.count_images):
        with pytest.raises(DataError, match=sentence):
            look(root)


def test_a_hidden_folder_in_a_class_folder_is_refused_by_name(root: Path) -> None:
    write(root / "train" / "ant" / ".more" / "9.png")
    with pytest.raises(DataError, match=r"/train/ant/\.more is a folder hidden by the dot before its name; rename it"):
        read(root)


def test_a_hidden_folder_beside_the_class_folders_is_no_class(root: Path) -> None:
    write(root / "train" / ".more" / "9.png")
    assert read(root).class_names == ("ant", "cat")
    assert imagetree.count_images(root) == (6, 2)


NEVER_IMAGES = (
    *(
        ".DS_Store",
        "._0.png",
        "._0",
        "Thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "Desktop.ini",
        ".gitkeep",
        ".gitignore",
    ),
    *("README", "LICENSE", "README.md", "notes.txt", "boxes.TXT", "a.csv", "a.tsv", "a.json", "a.jsonl", "a.xml"),
    *("a.yaml", "a.yml", "a.html", "a.log", "a.rst", ".notes.txt", "0.png:Zone.Identifier", "Icon\r"),
)


@pytest.mark.parametrize("name", NEVER_IMAGES)
def test_what_is_never_an_image_is_left_alone(root: Path, name: str) -> None:
    expected = read(root)
    for place in ("train", "train/ant", "test/cat"):
        (root / place / name).write_text("no image")
    assert same(read(root), expected)
    assert imagetree.count_images(root) == (6, 2)


@pytest.mark.parametrize("name", ["README", "a.txt", "v1.5", "a.npy", "noext", "thumbs.db"])
def test_folders_of_such_names_are_looked_into(root: Path, name: str) -> None:
    for split in ("train", "test"):
        write(root / split / "ant" / name / "9.png")
        write(root / split / name / "9.png")
    assert len(read(root).train.labels) == 8
    assert imagetree.count_images(root) == (8, 4)


@pytest.mark.parametrize("target", [".", "..", "../../train", "../.."])
def test_a_link_to_a_folder_above_is_refused_by_name(root: Path, target: str) -> None:
    (root / "train" / "ant" / "all").symlink_to(target)
    with pytest.raises(DataError, match=r"/all is a link to a folder that it lies in$"):
        read(root)


def test_an_inner_folder_that_is_gone_is_refused_by_name(root: Path) -> None:
    (root / "train" / "ant" / "images").symlink_to("not there")
    with pytest.raises(DataError, match=r"/train/ant/images is a link to something that is not there$"):
        read(root)


def png16(path: Path, colour: int, channels: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + struct.pack(">H", 40_001) * channels * 8) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 16, colour, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def tiff16(path: Path) -> None:
    """Write an RGB image of 8 x 8, 16 bits a channel, by hand: Pillow writes none."""
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 3, 158), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 164), (277, 3, 1, 3), (278, 3, 1, 8), (279, 4, 1, 8 * 8 * 6)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    content = content.ljust(158, b"\0") + struct.pack("<HHH", 16, 16, 16)
    path.write_bytes(content + struct.pack("<H", 40_001) * 8 * 8 * 3)


DEEP: dict[str, Callable[[Path], object]] = {
    "rgb.png": lambda path: png16(path, 2, 3),
    "rgba.png": lambda path: png16(path, 6, 4),
    "gray.png": lambda path: png16(path, 0, 1),
    "gray-alpha.png": lambda path: png16(path, 4, 2),
    "rgb.ppm": lambda path: path.write_bytes(b"P6 8 8 65535\n" + b"\x9c\x41" * 8 * 8 * 3),
    "text.ppm": lambda path: path.write_bytes(b"P3 8 8 1023\n" + b"1000 " * 8 * 8 * 3),
    "gray.pgm": lambda path: path.write_bytes(b"P5 8 8 65535\n" + b"\x9c\x41" * 8 * 8),
    "rgb.tiff": tiff16,
    "float.tiff": lambda path: Image.new("F", (8, 8), 0.5).save(path),
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_a_channel_are_refused(root: Path, name: str) -> None:
    file = root / "train" / "ant" / f"9-{name}"
    DEEP[name](file)
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))} has more than 8 bits a channel \(.*\); save it"):
        read(root)


@pytest.mark.parametrize("content", [b"P6 8 8 200\n" + b"\x80" * 192, b"P3 8 8 15\n" + b"7 " * 192])
def test_fewer_than_8_bits_are_not(root: Path, content: bytes) -> None:
    (root / "train" / "ant" / "9.ppm").write_bytes(content)
    assert len(read(root).train.labels) == 7


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_of_several_frames_the_first_is_used_and_told(
    root: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = root / "train" / "ant" / f"9.{suffix}"
    frames = [Image.new("RGB", (8, 8), (colour, colour, colour)) for colour in (200, 0)]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    assert read(root).train.images[3].float().sub(200).abs().max() <= 2
    assert f"warning: {file} with more than one frame, of which the first is used\n" in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_told(root: Path, mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    opaque = Image.new("RGBA", (8, 8), (200, 200, 200, 255)).convert(mode)
    opaque.save(root / "train" / "ant" / "8.png")
    read(root)
    assert "transparent pixels" not in capfd.readouterr().err
    image = opaque.copy()
    if mode == "P":
        image.info["transparency"] = image.getpixel((0, 0))
    else:
        image.putalpha(100)
    for name in ("9", "91"):
        image.save(root / "train" / "ant" / f"{name}.png")
    assert (read(root).train.images[3:6] == 200).all()
    told = f"warning: {root}/train/ant/9.png and 1 more with transparent pixels, which are used as if they were opaque"
    assert told in capfd.readouterr().err


def bomb(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0" * 64


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("size", [(65_000, 65_000), (10_000, 10_000), (2**31 - 1, 1), (1, 8), (8, 1)])
def test_an_image_of_another_size_is_never_unpacked(root: Path, size: tuple[int, int], first: bool) -> None:
    file = root / "train" / "ant" / ("0.png" if first else "9.png")
    file.write_bytes(bomb(*size))
    with pytest.raises(DataError, match=re.escape(str(file))):
        read(root)
