"""File locks: held by a process and those it passes them on to, given back by the kernel however they end.

A lock file may lie where several users write: it is opened through no link, and nothing but the lock is done to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from domcli import files
from domcli.errors import StorageError


def acquire(path: Path, *, base: Path | None = None, shared: bool = False, wait: bool = False) -> int | None:
    """Lock a file, made if it is not there, and return its descriptor, to be closed; None if somebody else holds it.

    Below `base` (the file's folder where none is given) no link is followed. A file that is not `shared` with other
    users must be one's own. Raises StorageError if it cannot be opened.
    """
    base = path.parent if base is None else base
    try:
        handle = files.open_shared(path, base=base) if shared else files.open_own(path, os.O_RDWR, base=base)
    except OSError as error:
        raise cannot_write(path, error, shared=shared) from error
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
    return handle


@contextlib.contextmanager
def held(path: Path, *, base: Path | None = None, shared: bool = False) -> Iterator[None]:
    """Wait for a lock and hold it for a moment."""
    handle = acquire(path, base=base, shared=shared, wait=True)
    assert handle is not None
    try:
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Tell whether somebody holds the lock (flock: on a shared file system this also sees other machines)."""
    try:
        handle = _opened(path)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def cannot_write(path: Path, error: OSError, *, shared: bool) -> StorageError:
    """Return the error of a file that cannot be opened, with what helps where several users meet."""
    advice = "; a runs directory that a group shares needs umask 002 of everybody (README, Sharing a runs directory)"
    foreign = shared and isinstance(error, PermissionError)
    return StorageError(f"cannot write {path}: {error.strerror}{advice if foreign else ''}")


def _opened(path: Path) -> int:
    quiet = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | quiet)
    except PermissionError:
        return os.open(path, os.O_RDONLY | quiet)
