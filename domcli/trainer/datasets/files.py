"""Folders that several trainers fill at once: one at a time, aside first, renamed when whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from domcli import locks
from domcli.printable import printable_line

ASIDE = ".domcli-part-"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; yields whether it was obtained.

    The lock is on the folder itself, so that nothing is left behind. Some network file systems have no locks: there
    the work is done without, perhaps twice, which is safe because whole files are renamed into place.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            locks.wait_and_lock(handle)
            alone = True
        except OSError:
            alone = False
        yield alone
    finally:
        os.close(handle)


@contextlib.contextmanager
def aside(folder: Path, *, alone: bool) -> Iterator[Path]:
    """Yield an empty folder inside `folder`, removed at the end whatever happens.

    `alone`: the caller holds the folder's lock, so what a killed process left behind is removed too.
    """
    if alone:
        for leftover in folder.glob(f"{ASIDE}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=ASIDE, dir=folder))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def reason(error: BaseException) -> str:
    """Return what went wrong in the system's words, without error numbers and wrappers."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return reason(inner)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def say(line: str) -> None:
    """Write a line to standard error, which is the run's log."""
    sys.stderr.write(f"{printable_line(line)}\n")
    sys.stderr.flush()
