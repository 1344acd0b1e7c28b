"""The layout of image folders: ROOT/train/CLASS/* and ROOT/test/CLASS/* (or ROOT/val/CLASS/*); no image is opened."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from domcli.errors import DataError

LAYOUT = "imagefolder needs ROOT/train/CLASS/* and ROOT/test/CLASS/* (or ROOT/val/CLASS/*)"
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".webp"),
    *(".tif", ".tiff", ".gif"),
)
"""Of the images that are read, in any case."""
OTHER_IMAGES = (".avif", ".heic", ".heif", ".jp2", ".jxl", ".tga", ".psd", ".svg")
"""Of images that are not read; files with these are refused, as all that may be an image and is not read."""
NO_IMAGES = (
    *(".txt", ".md", ".rst", ".log", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html"),
    ":zone.identifier",
)
"""Ends of the names of files that are never images, in any case: text, tables, Windows' notes of downloads."""
NO_IMAGES_NAMED = frozenset(
    {
        *("readme", "license", "licence", "copying", "copyright", "notice", "authors", "citation", "changelog"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", ".ds_store", ".localized", ".directory", ".nomedia"),
        *(".gitkeep", ".keep", ".gitignore", ".gitattributes"),
    }
)
"""Whole names of such files, in lower case; those that begin with `._` are macOS's (AppleDouble) and none, too."""
OF_THE_SYSTEM = frozenset(
    {
        *("__macosx", "@eadir", "lost+found", ".appledouble", ".trashes", ".spotlight-v100", ".fseventsd"),
        *(".thumbnails", ".ipynb_checkpoints", ".git", ".svn", ".hg"),
    }
)
"""Folders that systems and programs make, in lower case: what is in them is no image of a person's own."""
RIGHT_SUFFIX = "end in .png, .jpg or what else it is"
OUT = "move it out of the image folder"
MOST_NAMES = 5


@dataclass(frozen=True)
class Layout:
    """The two folders of a tree, with the same classes."""

    train: Path
    test: Path
    classes: tuple[str, ...]
    """Names of the class folders, sorted; two or more."""


def data_root(text: str) -> Path:
    """Return the absolute path that data.root means. Raises DataError where `~` stands for nobody's folder."""
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise DataError(f"data.root is {text}, but that user has no home folder") from error


def look(root: Path) -> Layout:
    """Return how the image folder at `root` is laid out.

    Hidden folders are no classes. Raises DataError for a missing folder, fewer than two classes, classes that the two
    folders do not share, and for images, or what may be one, beside the class folders.
    """
    try:
        return _look(root)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or root}: {error.strerror or error}") from error


def count_images(root: Path) -> tuple[int, int]:
    """Return how many images there are to train and to test on, by their names. Raises DataError as `look`."""
    layout = look(root)
    try:
        train, test = (
            sum(_images_under(split / name) for name in layout.classes) for split in (layout.train, layout.test)
        )
    except OSError as error:
        raise DataError(f"cannot read {error.filename or root}: {error.strerror or error}") from error
    return train, test


def is_image(entry: os.DirEntry[str]) -> bool:
    """Tell whether one of the `entries` is an image to be read, by its name, or else a folder with more of them.

    Raises DataError for everything else: it may be an image, which must not be left out without a word.
    """
    hidden = _is_hidden(entry)
    if not hidden and entry.name.lower().endswith(SUFFIXES):
        return True
    if is_folder(entry) and not hidden:
        return False
    raise DataError(f"{entry.path} {_why_refused(entry)}")


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether it is a folder. Raises DataError for a link to nothing: a folder may have been meant."""
    if entry.is_dir():
        return True
    if entry.is_symlink() and not Path(entry.path).exists():
        raise DataError(f"{entry.path} is a link to something that is not there")
    return False


def entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Yield what lies in a folder, without what is listed above as never an image."""
    with os.scandir(folder) as found:
        for entry in found:
            if not _is_never_image(entry):
                yield entry


def some(names: Sequence[str]) -> str:
    """Return the first of them, and how many there are beside."""
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown


def _look(root: Path) -> Layout:
    if not root.is_dir():
        raise DataError(f"there is no folder {root} (data.root); {LAYOUT}; set it with --set data.root=FOLDER")
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if not train.is_dir():
        raise DataError(f"{root} (data.root) has no folder train; {LAYOUT}")
    if test is None:
        raise DataError(f"{root} (data.root) has neither a folder test nor a folder val; {LAYOUT}")
    _refuse_raw_tiny_imagenet(root)
    classes = _classes(train)
    _require_same(train, classes, test, _classes(test))
    if len(classes) < 2:
        found = f"only one class folder, {classes[0]}" if classes else "no class folders"
        raise DataError(f"{train} has {found}, but there is nothing to learn with fewer than two; {LAYOUT}")
    return Layout(train, test, tuple(classes))


def _is_never_image(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    if name in OF_THE_SYSTEM:
        return is_folder(entry)
    listed = name in NO_IMAGES_NAMED or name.startswith("._") or name.endswith(NO_IMAGES)
    return listed and not is_folder(entry)


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".")


def _why_refused(entry: os.DirEntry[str]) -> str:
    """Return what is wrong with something that is neither an image to be read nor a folder to look into."""
    suffix = Path(entry.name).suffix
    if _is_hidden(entry):
        if is_folder(entry):
            return f"is a folder hidden by the dot before its name; rename it without the dot, or {OUT}"
        return (
            "is a file hidden by the dot before its name; "
            f"if it is an image, rename it to begin without a dot and {RIGHT_SUFFIX}, otherwise {OUT}"
        )
    if suffix.lower() in OTHER_IMAGES:
        return "is an image of a kind that is not read; save it as PNG"
    if suffix in ("", "."):
        return f"has no suffix; if it is an image, rename it to {RIGHT_SUFFIX}, otherwise {OUT}"
    return f"ends in {suffix}, which is no kind of image that is read; if it is one, save it as PNG, otherwise {OUT}"


def _images_under(folder: str | Path) -> int:
    return sum(1 if is_image(entry) else _images_under(entry.path) for entry in entries(folder))


def _classes(split: Path) -> list[str]:
    classes = []
    for entry in entries(split):
        if is_folder(entry):
            classes += [] if _is_hidden(entry) else [entry.name]
        elif is_image(entry):
            raise DataError(f"{entry.path} lies in no class folder; {LAYOUT}")
    return sorted(classes)


def _require_same(train: Path, train_classes: list[str], test: Path, test_classes: list[str]) -> None:
    parts = [
        f"only {folder} has {some(sorted(set(own) - set(others)))}"
        for folder, own, others in ((train, train_classes, test_classes), (test, test_classes, train_classes))
        if set(own) - set(others)
    ]
    if not parts:
        return
    val = train.with_name("val")
    fitting = test != val and val.is_dir() and _classes(val) == train_classes
    hint = f"; {val} has those of train, and is used where there is no folder test" if fitting else ""
    raise DataError(f"{train} and {test} must have the same class folders, but {' and '.join(parts)}{hint}")


def _refuse_raw_tiny_imagenet(root: Path) -> None:
    """Say how to sort the images of val, which lie in one folder; those of test have no classes at all."""
    if not (root / "val" / "val_annotations.txt").is_file() or not (root / "val" / "images").is_dir():
        return
    test = " && mv test unlabelled" if (root / "test").is_dir() else ""
    raise DataError(
        f"{root} is Tiny ImageNet as it is published, with the images of val in one folder"
        f"{' and those of test without classes' if test else ''}; sort them into class folders: "
        f"cd {shlex.quote(str(root))} && while read -r file class rest; do mkdir -p val/$class && "
        f"mv val/images/$file val/$class/; done < val/val_annotations.txt && rmdir val/images{test}"
    )
