"""Runs removed whole, whatever others put into them or in their place meanwhile."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from domcli import owners, removal
from domcli.errors import StorageError
from domcli.rundir import RunDirectory, reason_of


def discard(run: RunDirectory) -> None:
    """Remove a whole run directory: moved aside first, so that no reader sees half of it. Of a link, only the link.

    Raises StorageError if it cannot be removed; it is then as it was, unless something came between.
    """
    if run.path.is_symlink():
        try:
            run.path.unlink()
        except OSError as error:
            raise StorageError(f"cannot remove {run.path}: {reason_of(error)}") from error
        return
    try:
        found = run.path.lstat()
        _require_removable(run.path, run.path)
        aside = run.path.with_name(f"{owners.ASIDE}removed-{secrets.token_hex(16)}")
        run.path.rename(aside)
    except OSError as error:
        raise StorageError(f"cannot remove {run.path}: {reason_of(error)}") from error
    try:
        if not os.path.samestat(found, aside.lstat()):
            raise StorageError(f"cannot remove {run.path}: another folder was put in its place meanwhile")
        _require_removable(aside, run.path)  # again: what came before the move is in it
    except (StorageError, OSError) as error:
        with contextlib.suppress(OSError):
            aside.rename(run.path)
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot remove {run.path}: {reason_of(error)}") from error
    try:
        removal.remove(aside)
    except OSError as error:
        raise StorageError(f"{run.name} is removed, but files of it are left in {aside}: {reason_of(error)}") from error


def _require_removable(folder: Path, shown: Path) -> None:
    """Raise StorageError if this user may not remove a folder with all that is in it, OSError if that cannot be told.

    `shown` is what the folder is called in the sentence.
    """
    stays = removal.obstacle(folder)
    if stays is None:
        return
    place = shown / stays.path.relative_to(folder)
    if stays.owner == os.geteuid():
        raise StorageError(f"cannot remove {shown}: {place} is shut; open it with chmod u+rwx")
    owner = owners.user_name(stays.owner)
    raise StorageError(f"cannot remove {shown}: {place} belongs to {owner}, who alone may remove what is in it")
