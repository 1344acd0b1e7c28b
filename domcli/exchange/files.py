"""What all exports share: files written aside, then renamed, and runs told apart by name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from domcli.errors import DomcliError, StorageError


class ExportError(DomcliError):
    """Runs cannot be exported as they were asked for."""


def write_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file aside and rename it over `path`, whose folder is created if need be.

    Whatever goes wrong, `path` is as it was. Raises StorageError if nothing can be written there.
    """
    aside: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException as error:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StorageError(f"cannot write {path}: {error.strerror}") from error
        raise


def require_different_names(names: Iterable[str]) -> None:
    """Raise ExportError if two runs have one name, for which there is one file or folder."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ExportError(f"two of the runs are named {name!r} and would overwrite each other; export them apart")
        seen.add(name)
