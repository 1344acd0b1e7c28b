"""Removing folders to which others may write, too: however deep they are, and whatever changes in them meanwhile.

Every folder is reached from the one around it by a handle, never by its path: nothing outside is touched, and nothing
is out of reach because its path is too long.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ATTEMPTS = 20
"""How often a folder is gone through in which others put something at the same time."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FOLDER_NOW = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_CHANGED = (*_NO_FOLDER_NOW, errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ESTALE)
"""What goes wrong because somebody came between: another attempt may do."""


@dataclass(frozen=True)
class Obstacle:
    """A folder whose entries this user may not remove, and the user id of whom it belongs to."""

    path: Path
    owner: int


@dataclass
class _Level:
    path: Path
    found: os.stat_result
    inner: list[str]
    """Folders in it that are still to be gone through."""


def obstacle(folder: Path) -> Obstacle | None:
    """Return what keeps this user from removing a folder: it, or one within; None if nothing does. Raises OSError."""
    try:
        for handle, level in _innermost_first(folder):
            sticky = bool(level.found.st_mode & stat.S_ISVTX) and level.found.st_uid != os.geteuid() != 0
            if sticky or not os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=handle, effective_ids=True):
                if os.fstatvfs(handle).f_flag & os.ST_RDONLY:
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(level.path))
                return Obstacle(level.path, level.found.st_uid)
    except _ShutError as error:
        return error.obstacle
    return None


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; links in it are not followed. Raises OSError.

    What somebody else removes at the same time is as good as removed.
    """
    error = _attempt(path)
    for _ in range(ATTEMPTS - 1):
        if error is None or error.errno not in _CHANGED or not os.path.lexists(path):
            break
        error = _attempt(path)
        if error is not None and not os.path.lexists(path):
            return
    if error is not None:
        raise error


class _ShutError(PermissionError):
    """A folder may not be looked into."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(errno.EACCES, os.strerror(errno.EACCES), str(obstacle.path))
        self.obstacle = obstacle


def _attempt(path: Path) -> OSError | None:
    try:
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return None
        for handle, level in _innermost_first(path, shut=True):
            with os.scandir(handle) as entries:
                found = list(entries)
            for entry in found:
                _remove_entry(handle, level, entry)
        path.rmdir()
    except OSError as error:
        return error
    return None


def _remove_entry(handle: int, level: _Level, entry: os.DirEntry[str]) -> None:
    try:
        (os.rmdir if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.name, dir_fd=handle)
    except FileNotFoundError:
        pass
    except OSError as error:
        error.filename = str(level.path / entry.name)
        raise


def _innermost_first(top: Path, *, shut: bool = False) -> Iterator[tuple[int, _Level]]:
    """Yield a handle of each folder of a tree, after those of the folders within it. Raises OSError.

    One is open at a time, for a tree may be deeper than a process may have files open; the way back is `..`, and must
    lead to where it came from. With `shut`, nobody else can put anything into one's own folders from then on.
    """
    handle = os.open(top, _FOLDER)
    try:
        levels = [_level(handle, top, shut=shut)]
        while True:
            if levels[-1].inner:
                inner = _entered(handle, levels[-1], levels[-1].inner.pop())
                if inner is not None:
                    path, opened = inner
                    os.close(handle)
                    handle = opened
                    levels.append(_level(handle, path, shut=shut))
                continue
            yield handle, levels.pop()
            if not levels:
                return
            outer = os.open("..", _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = outer
            if not os.path.samestat(os.fstat(handle), levels[-1].found):
                raise OSError(errno.ESTALE, "Was moved meanwhile", str(levels[-1].path))
    finally:
        os.close(handle)


def _entered(handle: int, level: _Level, name: str) -> tuple[Path, int] | None:
    """Open a folder within another; None if it is gone, or no folder any more."""
    path = level.path / name
    try:
        return path, os.open(name, _FOLDER, dir_fd=handle)
    except OSError as error:
        if error.errno in _NO_FOLDER_NOW:
            return None
        error.filename = str(path)
        if error.errno != errno.EACCES:
            raise
        try:
            owner = os.stat(name, dir_fd=handle, follow_symlinks=False).st_uid
        except FileNotFoundError:
            return None
        raise _ShutError(Obstacle(path, owner)) from error


def _level(handle: int, path: Path, *, shut: bool) -> _Level:
    found = os.fstat(handle)
    if shut and found.st_uid == os.geteuid() and found.st_mode & 0o022:
        with contextlib.suppress(OSError):  # a file system without modes
            os.fchmod(handle, 0o700)
    with os.scandir(handle) as entries:
        return _Level(path, found, [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)])
