"""The runs directory: whether runs can be created, locked and kept there."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from domcli import owners
from domcli.checks.check import Check, gb, guarded

PREFIX = ".doctor-"
MADE = ("old", "new", "lock")
"""The files that are made to see whether that works."""
NETWORK = ("nfs", "cifs", "smb", "9p", "lustre", "ceph", "beegfs", "gpfs", "afs", "fuse.sshfs", "fuse.glusterfs")
"""How the names of network file systems begin."""
VOLATILE = ("tmpfs", "ramfs")
ELSEWHERE = "choose another folder with --runs-dir or DOMCLI_RUNS_DIR"


def check(runs_dir: Path, needed: int, mounts: Path = Path("/proc/self/mountinfo")) -> list[Check]:
    """Write, rename and lock in the runs directory; `needed` are the bytes of one full run. Nothing is left behind.

    Where it does not exist, that is done in the folder in which it would be made.
    """
    folder = next(path for path in (runs_dir.absolute(), *runs_dir.absolute().parents) if os.path.lexists(path))
    if not folder.is_dir():
        return [Check("runs directory", "problem", f"{folder} is not a folder", ELSEWHERE)]
    try:
        with _scratch(folder) as scratch:
            _write_and_rename(scratch)
            found = [_writable(runs_dir.absolute(), folder), *guarded("locks", lambda: _locks(scratch))]
    except OSError as error:
        return [_unwritable(folder, error), *guarded("file system", lambda: _file_system(folder, mounts))]
    found += guarded("disk space", lambda: _space(folder, needed))
    return found + guarded("file system", lambda: _file_system(folder, mounts))


def file_system(folder: Path, mounts: str) -> tuple[str, str]:
    """Return type and source of the file system of a folder, from the lines of /proc/self/mountinfo."""
    found, deepest = ("unknown", ""), -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 2:
            continue
        point = Path(fields[4].replace("\\040", " "))
        # Of two mounts at one place, the later one covers the earlier.
        if folder.is_relative_to(point) and len(point.parts) >= deepest:
            found, deepest = (kind[0], kind[1]), len(point.parts)
    return found


@contextmanager
def _scratch(folder: Path) -> Iterator[int]:
    """Make a folder of one's own, yield a handle of it, and remove it with what `_new` made in it.

    Others may put something else in its place: what is written goes through the handle alone, and only into a folder
    that was empty. Raises OSError.
    """
    name = f"{PREFIX}{secrets.token_hex(8)}"
    around = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.mkdir(name, 0o700, dir_fd=around)
        scratch = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=around)
        try:
            with os.scandir(scratch) as entries:
                if any(entries) or not owners.is_own(os.fstat(scratch), folder):
                    raise OSError(errno.EPERM, f"somebody has put another folder in place of {name}")
            try:
                yield scratch
            finally:
                for made in MADE:
                    with suppress(OSError):
                        os.unlink(made, dir_fd=scratch)
        finally:
            os.close(scratch)
            with suppress(OSError):
                os.rmdir(name, dir_fd=around)
    finally:
        os.close(around)


def _new(scratch: int, name: str) -> IO[bytes]:
    """Make one of the files in the scratch folder. Raises OSError where there is something of that name already."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(name, flags, 0o600, dir_fd=scratch), "wb")


def _reopened(scratch: int, name: str) -> IO[bytes]:
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # what NFS locks must be writable
    return os.fdopen(os.open(name, flags, dir_fd=scratch), "rb")


def _write_and_rename(scratch: int) -> None:
    with _new(scratch, "old") as file:
        file.write(b"old")
    with _new(scratch, "new") as file:
        file.write(b"new")
        file.flush()
        os.fsync(file.fileno())
    os.replace("new", "old", src_dir_fd=scratch, dst_dir_fd=scratch)
    with _reopened(scratch, "old") as file:
        if file.read(4) != b"new":
            raise OSError(errno.EIO, "a renamed file does not hold what was written")


def _locks(scratch: int) -> Check:
    """Take a lock twice: the second time it must be refused."""
    remedy = f"mount that file system with locks (NFS: lockd, Lustre: flock), or {ELSEWHERE}"
    with _new(scratch, "lock") as first, _reopened(scratch, "lock") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Check("locks", "problem", f"files cannot be locked there: {error.strerror}", remedy)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Check("locks", "ok", "file locks work there")
    return Check("locks", "problem", "a locked file can be locked again there: runs would share a GPU", remedy)


def _writable(runs_dir: Path, folder: Path) -> Check:
    exists = folder == runs_dir
    text = f"{folder} is writable" if exists else f"{runs_dir} does not exist yet and can be made"
    return Check("runs directory", "ok", text, None, {"path": str(runs_dir), "exists": exists})


def _unwritable(folder: Path, error: OSError) -> Check:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space there" if full else f"make {folder} writable"
    text = f"nothing can be written in {folder}: {error.strerror or error}"
    return Check("runs directory", "problem", text, f"{remedy}, or {ELSEWHERE}")


def _space(folder: Path, needed: int) -> Check:
    free = shutil.disk_usage(folder).free
    text = f"{gb(free)} free; a run of 200 epochs at full width takes {gb(needed)}"
    details = {"free": free, "needed": needed}
    if free < needed:
        remedy = f"free some space, {ELSEWHERE}, or keep fewer checkpoints with --set checkpoint.every=0"
        return Check("disk space", "problem", text, remedy, details)
    return Check("disk space", "ok", text, None, details)


def _file_system(folder: Path, mounts: Path) -> Check:
    kind, source = file_system(folder.resolve(), mounts.read_text(errors="replace") if mounts.exists() else "")
    details = {"type": kind, "source": source}
    if kind in VOLATILE:
        text = f"{kind}: what lies there is gone when the machine restarts"
        return Check("file system", "warning", text, f"to keep your runs, {ELSEWHERE}", details)
    if kind.startswith(NETWORK):
        text = f"{kind} from {source}: other machines may see new events seconds later"
        return Check("file system", "ok", text, None, details)
    return Check("file system", "ok", kind, None, details)
