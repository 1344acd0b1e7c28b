"""Whose files are these: on file systems that know users, and on those that show one owner or one mode for all."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import secrets
import stat
from pathlib import Path

ASIDE = ".new-"
"""How the names of files and folders begin that are written aside, to be renamed."""


def user_name(uid: int) -> str:
    """Return what a user is called."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def is_own(found: os.stat_result, folder: Path) -> bool:
    """Tell whether what was found in a folder belongs to the user of this process.

    Some file systems show one owner for everybody's files, or another one than the user: what counts is whom a file
    belongs to that this process makes there.
    """
    return found.st_uid == os.geteuid() or found.st_uid == _seen_as(found.st_dev, folder)[0]


def is_guarded(found: os.stat_result, folder: Path) -> bool:
    """Tell whether nobody but its owner may write to what was found in a folder.

    Some file systems show one mode for all files: there it says nothing.
    """
    open_to = found.st_mode & 0o022
    return not open_to or _seen_as(found.st_dev, folder)[1] & 0o022 == open_to


def is_private(path: Path) -> bool:
    """Tell whether what is there belongs to the user of this process, and nobody else may write to it."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return not stat.S_ISLNK(found.st_mode) and is_own(found, path.parent) and is_guarded(found, path.parent)


@functools.cache
def _seen_as(_device: int, folder: Path) -> tuple[int | None, int]:
    """Return whom a file belongs to that this process makes in a folder for itself alone, and the mode that it shows.

    No user and no mode where it can make none.
    """
    with contextlib.suppress(OSError):  # most local file systems have files without a name, that nobody notices
        handle = os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            return os.fstat(handle).st_uid, os.fstat(handle).st_mode
        finally:
            os.close(handle)
    path = folder / f"{ASIDE}{secrets.token_hex(8)}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None, 0
    try:
        return os.fstat(handle).st_uid, os.fstat(handle).st_mode
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()
