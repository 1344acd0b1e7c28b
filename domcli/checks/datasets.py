"""Which data sets lie in the data root, judged by names and sizes; the trainer compares checksums."""

from __future__ import annotations

import functools
from importlib import metadata
from pathlib import Path

from domcli import files, imagetree
from domcli.catalogue import DATASETS, Dataset
from domcli.checks.check import Check, gb, guarded, plural
from domcli.checks.software import pip
from domcli.errors import DataError
from domcli.presets import QUICK


def check(root: Path) -> list[Check]:
    """Check every data set that domcli knows."""
    return [found for one in DATASETS for found in guarded(one.name, functools.partial(_look, one, root))]


def _look(one: Dataset, root: Path) -> list[Check]:
    if one.downloads:
        return [published(one, root)]
    if one.folder:
        return [image_folder(one, root)] if files.is_folder(root / "train") else []
    if one.package is not None:
        return [packaged(one, one.package)]
    return [Check(one.name, "ok", "nothing has to be there for it")]


def published(one: Dataset, root: Path) -> Check:
    """Check a data set that is downloaded when it is missing."""
    least = {member.path: member.least for download in one.downloads for member in download.read}
    sizes = {name: _size(root / name) for name in least}
    wrong = [name for name in least if sizes[name] < least[name]]
    details = {"root": str(root.absolute()), "missing": wrong}
    if not wrong:
        return Check(one.name, "ok", f"in {root}, {gb(sum(sizes.values()))}", None, details)
    absent = [download for download in one.downloads if _size(root / download.name) != download.size]
    if not absent:
        archive = ", ".join(download.name for download in one.downloads)
        return Check(one.name, "ok", f"{archive} is in {root}, and unpacked by the first run", None, details)
    present = [name for name in least if files.exists(root / name)]
    damaged = [name for name in wrong if name in present]
    if damaged:
        text = f"{damaged[0]} in {root} is too short: {sizes[damaged[0]]} bytes"
    elif present:
        text = f"incomplete in {root}: {wrong[0]} is missing"
    else:
        text = f"not in {root}"
    size, names = gb(sum(download.size for download in absent)), " and ".join(download.name for download in absent)
    remedy = f"the first run downloads it ({size}); without a network, put {names} in {root.absolute()}"
    return Check(one.name, "warning", text, remedy, details)


def image_folder(one: Dataset, root: Path) -> Check:
    """Check a tree of somebody's own images."""
    details: dict[str, object] = {"root": str(root.absolute())}
    remedy = "no run can use these images as they are; mend what the sentence above names, or look at another folder"
    try:
        classes = len(imagetree.look(root).classes)
    except DataError as error:
        return Check(one.name, "warning", str(error), remedy, details)
    details["classes"] = classes
    return Check(one.name, "ok", f"{plural(classes, 'class folder')} in {root}", None, details)


def packaged(one: Dataset, package: str) -> Check:
    """Check a data set that a package brings along."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        purpose = "for --quick: " if one.name == QUICK["data"]["dataset"] else ""
        return Check(one.name, "warning", f"{package} is not installed", f"{purpose}{pip(package)}")
    return Check(one.name, "ok", f"come with {package}")


def _size(path: Path) -> int:
    """Return the bytes of a file, -1 if there is none."""
    try:
        return path.stat().st_size if path.is_file() else -1
    except OSError:
        return -1
