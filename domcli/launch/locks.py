"""File locks: held by a process and those it passes them on to, given back by the kernel however they end."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from domcli.errors import StorageError

SHARED_MODE = 0o666
"""Several users of one runs directory lock the same files."""


def acquire(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file, made if it is not there, and return its descriptor, to be closed; None if somebody else holds it.

    Raises StorageError if it cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SHARED_MODE)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError as error:
        os.close(handle)
        raise StorageError(
            f"files cannot be locked in {path.parent}: {error.strerror}; choose a runs directory on another file system"
        ) from error
    with contextlib.suppress(OSError):
        os.fchmod(handle, SHARED_MODE)
    return handle


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait for a lock and hold it for a moment."""
    handle = acquire(path, wait=True)
    assert handle is not None
    try:
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Tell whether somebody holds the lock (flock: on a shared file system this also sees other machines)."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
