"""Which data sets lie in the data root, judged by names and sizes; the trainer compares checksums."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from domcli import files, imagetree
from domcli.checks.check import Check, gb, guarded, plural
from domcli.checks.software import pip
from domcli.errors import DataError

IMAGE = 3 * 32 * 32


@dataclass(frozen=True)
class Published:
    """A data set as it is published: `files` are what the trainer reads, below the root, with their least bytes.

    `downloads` are what is fetched, with their exact bytes.
    """

    name: str
    files: Mapping[str, int]
    downloads: Mapping[str, int]


# A file of the CIFARs holds its images unpacked, so it is larger than they are; those of SVHN are downloaded as read.
SVHN = {"train_32x32.mat": 182_040_794, "test_32x32.mat": 64_275_384}
PUBLISHED = (
    Published(
        "cifar10",
        {
            **{f"cifar-10-batches-py/data_batch_{number}": 10_000 * IMAGE for number in range(1, 6)},
            "cifar-10-batches-py/test_batch": 10_000 * IMAGE,
            "cifar-10-batches-py/batches.meta": 1,
        },
        {"cifar-10-python.tar.gz": 170_498_071},
    ),
    Published(
        "cifar100",
        {
            "cifar-100-python/train": 50_000 * IMAGE,
            "cifar-100-python/test": 10_000 * IMAGE,
            "cifar-100-python/meta": 1,
        },
        {"cifar-100-python.tar.gz": 169_001_437},
    ),
    Published("svhn", SVHN, SVHN),
)


def check(root: Path) -> list[Check]:
    """Check every data set that domcli knows."""
    checks = []
    for one in PUBLISHED:
        checks += guarded(one.name, functools.partial(published, one, root))
    if files.is_folder(root / "train"):
        checks += guarded("imagefolder", lambda: image_folder(root))
    return [*checks, *guarded("digits", lambda: digits(has_scikit_learn=find_spec("sklearn") is not None))]


def published(one: Published, root: Path) -> Check:
    """Check a data set that is downloaded when it is missing."""
    wrong = [name for name, least in one.files.items() if _size(root / name) < least]
    details = {"root": str(root.absolute()), "missing": wrong}
    if not wrong:
        return Check(one.name, "ok", f"in {root}, {gb(sum(_size(root / name) for name in one.files))}", None, details)
    absent = [name for name, exact in one.downloads.items() if _size(root / name) != exact]
    if not absent:
        archive = ", ".join(one.downloads)
        return Check(one.name, "ok", f"{archive} is in {root}, and unpacked by the first run", None, details)
    present = [name for name in one.files if files.exists(root / name)]
    damaged = [name for name in wrong if name in present]
    if damaged:
        text = f"{damaged[0]} in {root} is too short: {_size(root / damaged[0])} bytes"
    elif present:
        text = f"incomplete in {root}: {wrong[0]} is missing"
    else:
        text = f"not in {root}"
    size = gb(sum(one.downloads[name] for name in absent))
    remedy = f"the first run downloads it ({size}); without a network, put {' and '.join(absent)} in {root.absolute()}"
    return Check(one.name, "warning", text, remedy, details)


def image_folder(root: Path) -> Check:
    """Check a tree of somebody's own images."""
    details: dict[str, object] = {"root": str(root.absolute())}
    remedy = "no run can use these images as they are; mend what the sentence above names, or look at another folder"
    try:
        classes = len(imagetree.look(root).classes)
    except DataError as error:
        return Check("imagefolder", "warning", str(error), remedy, details)
    details["classes"] = classes
    return Check("imagefolder", "ok", f"{plural(classes, 'class folder')} in {root}", None, details)


def digits(*, has_scikit_learn: bool) -> Check:
    """Check the small images that --quick trains on."""
    if has_scikit_learn:
        return Check("digits", "ok", "come with scikit-learn")
    return Check("digits", "warning", "scikit-learn is not installed", f"for --quick: {pip('scikit-learn')}")


def _size(path: Path) -> int:
    """Return the bytes of a file, -1 if there is none."""
    try:
        return path.stat().st_size if path.is_file() else -1
    except OSError:
        return -1
