"""File locks: held by a process and those it passes them on to, given back by the kernel however they end.

A lock file may lie where several users write: it is opened through no link, and nothing but the lock is done to it.
No other module locks files, but for the one that finds out whether a file system has locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from domcli import files, owners
from domcli.errors import StorageError

PATIENCE_SECONDS = 5.0
"""How long to wait for a lock that is held for moments."""
POLL_SECONDS = 0.02
LOOKS = 15


def acquire(path: Path, *, base: Path | None = None, shared: bool = False, private: bool = False) -> int | None:
    """Lock a file, made if it is not there, and return its descriptor, to be closed; None if somebody else holds it.

    Below `base` (the file's folder where none is given) no link is followed. A file that is not `shared` with other
    users must be one's own; a `private` one nobody else can open, and so lock, from now on. Raises StorageError if it
    cannot be opened.
    """
    base = path.parent if base is None else base
    try:
        handle = files.open_shared(path, base=base) if shared else files.open_own(path, os.O_RDWR, base=base)
    except OSError as error:
        raise cannot_write(path, error, shared=shared) from error
    try:
        obtained = try_lock(handle)
    except OSError as error:
        os.close(handle)
        raise StorageError(
            f"files cannot be locked in {path.parent}: {error.strerror}; choose a runs directory on another file system"
        ) from error
    if not obtained:
        os.close(handle)
        return None
    if private:  # only now: the mode of one that somebody else holds tells that they could
        with contextlib.suppress(OSError):  # a file system without modes
            os.fchmod(handle, 0o600)
    return handle


def try_lock(handle: int) -> bool:
    """Lock an open file; return False if somebody else holds it. Raises OSError where files cannot be locked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_and_lock(handle: int) -> None:
    """Lock an open file, however long somebody else holds it. Raises OSError where files cannot be locked."""
    fcntl.flock(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def held(path: Path, *, base: Path | None = None, shared: bool = False) -> Iterator[None]:
    """Wait for a lock and hold it for a moment.

    Raises StorageError if it cannot be opened, or somebody else holds it for longer than anybody needs it.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (handle := acquire(path, base=base, shared=shared)) is None:
        if time.monotonic() >= deadline:
            raise StorageError(f"cannot lock {path}: {holder(path)} keeps it locked, which nobody needs for long")
        time.sleep(POLL_SECONDS)
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
        return _is_locked(handle)
    finally:
        os.close(handle)


def is_held_by_own(path: Path) -> bool:
    """Tell whether a lock is held by who has written its process id into the file, a process of this user's.

    Others can lock whatever they can read. On a full disk the id is missing: then it counts that nobody else can.
    """
    try:
        handle = _opened(path)
    except OSError:
        return False
    try:
        found = os.fstat(handle)
        if not owners.is_own(found, path.parent) or not _is_locked(handle):
            return False
        written = os.read(handle, 32).strip()
    finally:
        os.close(handle)
    return _is_own_process(written) if written else not found.st_mode & 0o077


def refuse_stranger(path: Path) -> None:
    """Raise StorageError if a lock is held by somebody who is none of this user's processes (see `is_held_by_own`)."""
    # Who only looks whether it is held holds it for a moment, and who has it needs one to write its id.
    for _ in range(LOOKS):
        if is_held_by_own(path) or not is_held(path):
            return
        time.sleep(POLL_SECONDS)
    raise StorageError(
        f"the queue cannot be advanced: {holder(path)} keeps {path} locked; remove that file to have a new one"
    )


def holder(path: Path) -> str:
    """Return who holds a lock, as far as the kernel tells."""
    try:
        found = path.lstat()
        lines = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return "somebody"
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for fields in (line.split() for line in lines):
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == place:
            with contextlib.suppress(OSError):  # it has ended, and a child of its holds the lock
                return f"process {fields[4]} of {owners.user_name(Path('/proc', fields[4]).stat().st_uid)}"
    return "somebody"


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


def _is_locked(handle: int) -> bool:
    try:
        return not try_lock(handle)
    except OSError:
        return True


def _is_own_process(written: bytes) -> bool:
    try:
        process = psutil.Process(int(written))
        return bool(process.uids().effective == os.geteuid() and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, OverflowError):
        return False
