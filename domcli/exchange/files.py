"""What all exports share: how files are written, and runs told apart by name."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from domcli import files, results, rundir
from domcli.errors import DomcliError, StorageError
from domcli.printable import quoted


class ExportError(DomcliError):
    """Runs cannot be exported as they were asked for."""


def write_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` make a file that a person asked for (see domcli.results), `~` replaced.

    Raises StorageError, also for what would overwrite a run's own file.
    """
    try:
        results.result(_place(path, path), write)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def require_writable(path: Path, *, shown: Path | str, advice: str = "") -> None:
    """Find out before long work whether `write_file` can make a file there. Raises StorageError, naming `shown`."""
    try:
        results.require_writable(_place(path, shown))
    except OSError as error:
        raise StorageError(f"cannot write {shown}: {error.strerror}{advice}") from error


def _place(path: Path, shown: Path | str) -> Path:
    """Return a path with its `~` replaced. Raises OSError where that stands for nobody's folder, and none is there.

    Raises StorageError for a run's own file, whatever is or is not there yet.
    """
    place = files.at_home(path)
    if place.parts[:1] and place.parts[0].startswith("~") and not files.exists(Path(place.parts[0])):
        raise OSError(errno.ENOENT, f"There is no folder {place.parts[0]}, and no such user", str(path))
    run = rundir.kept_by(place)
    if run is not None:
        raise StorageError(
            f"cannot write {shown}: that is one of the run {run.name}'s own files; "
            f"choose another name, or a place outside of {run.path}"
        )
    return place


def require_different_names(names: Iterable[str]) -> None:
    """Raise ExportError if two runs have one name, for which there is one file or folder."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ExportError(
                f"two of the runs are named {quoted(name)} and would overwrite each other; export them apart"
            )
        seen.add(name)
