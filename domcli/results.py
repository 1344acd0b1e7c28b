"""Files that a person asked for: tables, figures, reports, wherever they are to go."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

from domcli import files, owners

READER_SECONDS = 5.0
"""How long a pipe may wait for the program that reads it."""


def result(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` make a file that a person asked for, in a folder that is made if need be.

    It goes through links, and into pipes and devices as they are; a regular file is written aside, then renamed, and
    keeps its mode. Raises OSError; a regular file is then as it was.
    """
    require_own_links(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    if found is None or (stat.S_ISREG(found.st_mode) and not (streams := _streams(found))):
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        files.replace(target, write)
        return
    if not stat.S_ISREG(found.st_mode):
        _require_writable_special(path)
    content = BytesIO()
    write(content)
    handle = os.dup(streams[0]) if stat.S_ISREG(found.st_mode) else _open_special(path, found)
    with os.fdopen(handle, "wb") as file:
        file.write(content.getbuffer())


def require_writable(path: Path) -> None:
    """Find out before long work whether `result` can make a file there. Raises OSError."""
    require_own_links(path)
    target = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not stat.S_ISREG(target.stat().st_mode):
            _require_writable_special(target)
            return
    folder = next(one for one in target.parents if files.exists(one))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def require_own_links(path: Path) -> None:
    """Raise OSError if the way to a file goes through a link that somebody else may have put there.

    That is another user's link, not the administrator's, in a folder to which more than its owner may write.
    """
    for place in (path.absolute(), *path.absolute().parents):
        if place.is_symlink():
            link, folder = place.lstat(), place.parent.stat()
            if (
                folder.st_mode & 0o022
                and link.st_uid not in (0, folder.st_uid)
                and not owners.is_own(link, place.parent)
            ):
                raise OSError(
                    errno.ELOOP, f"Goes through a link of {owners.user_name(link.st_uid)}'s, {place}", str(path)
                )


def _require_writable_special(path: Path) -> None:
    mode = path.stat().st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise OSError(errno.EINVAL, f"Is {files.kind_of(mode)}, not a file", str(path))
    if not os.access(path, os.W_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _streams(found: os.stat_result) -> list[int]:
    """Return which of this process's own output streams a file is: /dev/stdout, where a shell has redirected it."""
    same = []
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(stream), found):
                same.append(stream)
    return same


def _open_special(path: Path, found: os.stat_result) -> int:
    """Open a device, or a pipe once somebody reads it. Raises OSError if nobody does."""
    sys.stdout.flush()
    deadline = time.monotonic() + READER_SECONDS
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | files.QUIET)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(found.st_mode):
                raise
            if time.monotonic() >= deadline:
                raise OSError(errno.ENXIO, "Is a named pipe that nobody reads", str(path)) from error
            time.sleep(0.02)
    os.set_blocking(handle, True)
    return handle
