"""The one way files are opened: nothing but regular files is read, and nothing is written through a planted link.

A runs directory may be shared, so each file in it may have been put there by somebody else: a link to a file of one's
own, a named pipe that never answers, a device that never ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from domcli import owners, removal
from domcli.owners import ASIDE

SMALL = 16 << 20
"""Bytes that settings, presets and the JSON of a run may have: a thousand times what they do have."""
LARGE = 1 << 30
"""Bytes that a stream of events, a log or an archive may have to be read at once."""
HUGE = 1 << 36
"""Bytes that a checkpoint may have."""
OLD_SECONDS = 3600.0
"""What was written aside so long ago is what a killed process has left."""

QUIET = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_LEFT = re.compile(
    rf"{re.escape(ASIDE)}|\.(settings|environment|process|queue|brief|plan|result)\.(toml|json)-\w{{8}}$"
    r"|\.[\w-]+\.(safetensors|npy)-new$"
)
"""What is written aside, by this version and by earlier ones."""
_PINNED: list[tuple[Path, os.stat_result]] = []
"""The folders that this process holds on to (see `pinned`), and which they are."""
_REPLACED = "Somebody has put another folder in its place"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


def open_bytes(path: Path, *, through_links: bool = True) -> IO[bytes]:
    """Open a regular file for reading, without ever waiting. Raises OSError for anything else, saying what it is."""
    _require_regular(path.stat() if through_links else path.lstat(), path)
    handle = os.open(path, os.O_RDONLY | QUIET | (0 if through_links else os.O_NOFOLLOW))
    file = os.fdopen(handle, "rb")
    try:
        _require_regular(os.fstat(handle), path)
    except OSError:
        file.close()
        raise
    return file


def read_bytes(path: Path, most: int = SMALL) -> bytes:
    """Return what is in a regular file. Raises OSError for any other kind of file and for more than `most` bytes."""
    with open_bytes(path) as file:
        return read_rest(file, path, most)


def read_rest(file: IO[bytes], path: Path, most: int = SMALL) -> bytes:
    """Return what is in an open file from its position on. Raises OSError for more than `most` bytes.

    No more memory is asked for than the file has bytes; what tells no size, or grows, is read piece by piece.
    """
    size = min(max(0, os.fstat(file.fileno()).st_size - file.tell()), most)
    content = file.read(size + 1)
    while size < len(content) <= most and (more := file.read(min(SMALL, most + 1 - len(content)))):
        content += more
    if len(content) > most:
        raise OSError(errno.EFBIG, f"Has more than {most >> 20} MB", str(path))
    return content


def read_text(path: Path, most: int = SMALL, *, encoding: str = "utf-8") -> str:
    """Return the text in a regular file. Raises OSError (see `read_bytes`), ValueError for another encoding."""
    return read_bytes(path, most).decode(encoding)


def read_tail(path: Path, most: int) -> tuple[bytes, bool]:
    """Return the last bytes of a regular file, and whether there are more before them. Raises OSError."""
    with open_bytes(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        return file.read(min(size, most)), size > most


def is_regular(path: Path) -> bool:
    """Tell whether a regular file is there, through links."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered, a null character
        return False


def kind_of(mode: int) -> str:
    """Return what a file is that is no regular one."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there, through links."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Tell whether anything is there, through links."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def at_home(path: Path | str) -> Path:
    """Return a path with its `~` replaced; as it is where that stands for nobody's folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises RuntimeError there


def path_as_text(path: Path) -> str:
    """Return a path for a JSON file; one with bytes that are not UTF-8 becomes their digits, after a null."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return f"\0{os.fsencode(path).hex()}"
    return str(path)


def text_as_path(text: str) -> Path:
    """Return the path that `path_as_text` was given; of text that it did not write, a path at which nothing is."""
    if text.startswith("\0"):
        with contextlib.suppress(ValueError):
            return Path(os.fsdecode(bytes.fromhex(text[1:])))
    return Path(text)


@contextlib.contextmanager
def pinned(path: Path, *, base: Path | None = None) -> Iterator[int]:
    """Hold on to a folder of one's own and yield its descriptor: what this process writes below gets there or nowhere.

    Where others may write to the folder around it, it can be replaced while it is worked in, by a link to any folder.
    Until the end, `folder_handle` follows no link below it, and raises OSError once another folder lies at the path.
    It may itself be reached through links, as a run may; not from `base` on where one is given. Raises OSError.
    """
    with folder_handle(path / "any", base) as found:
        handle = os.dup(found)  # kept open, so that no other folder gets its number
    pin = (path, os.fstat(handle))
    try:
        if not owners.is_own(pin[1], path):
            raise OSError(errno.EPERM, f"Belongs to {owners.user_name(pin[1].st_uid)}", str(path))
        _PINNED.append(pin)
        try:
            yield handle
        finally:
            _PINNED.remove(pin)
    finally:
        os.close(handle)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[int]:
    """Make a folder, hold on to it while it is filled (see `pinned`) and yield its descriptor; gone if that fails.

    Raises OSError, also if somebody puts another folder in its place at once.
    """
    path.mkdir()
    try:
        with pinned(path, base=path.parent) as handle:
            inside = Path(f"/proc/self/fd/{handle}")  # wherever it lies by now
            if any(inside.iterdir()):
                raise OSError(errno.ESTALE, _REPLACED, str(path))
            try:
                yield handle
            except BaseException:
                with contextlib.suppress(OSError):
                    for one in list(inside.iterdir()):
                        removal.remove(one)
                raise
    except BaseException:
        with contextlib.suppress(OSError):
            path.rmdir()
        raise


def open_own(path: Path, flags: int, *, base: Path | None = None) -> int:
    """Open a regular file of one's own for writing, made if it is not there; return its descriptor.

    It is opened relative to a handle of its folder (see `folder_handle`). In a folder of others, or to which others may
    write, a file with a second name might be any file of one's own, and is refused. Raises OSError.
    """
    with folder_handle(path, base) as folder:
        handle = os.open(path.name, flags | os.O_CREAT | os.O_NOFOLLOW | QUIET, 0o666, dir_fd=folder)
        try:
            found = os.fstat(handle)
            _require_regular(found, path)
            if not owners.is_own(found, path.parent):
                raise OSError(errno.EPERM, f"Belongs to {owners.user_name(found.st_uid)}", str(path))
            around = os.fstat(folder)
            if found.st_nlink != 1 and (around.st_mode & 0o022 or not owners.is_own(around, path.parent)):
                raise OSError(errno.EPERM, "Has a second name, in a folder to which others may write", str(path))
        except OSError:
            os.close(handle)
            raise
    return handle


def open_shared(path: Path, *, base: Path) -> int:
    """Open a file to be locked by several users, made if it is not there; what is in it is nobody's business.

    No link is followed from `base` on. Who may not write to it opens it for reading, which suffices on local file
    systems. Raises OSError.
    """
    with folder_handle(path, base) as folder:
        try:
            handle = os.open(path.name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | QUIET, 0o666, dir_fd=folder)
        except PermissionError:
            handle = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | QUIET, dir_fd=folder)
    try:
        _require_regular(os.fstat(handle), path)
    except OSError:
        os.close(handle)
        raise
    return handle


@contextlib.contextmanager
def folder_handle(path: Path, base: Path | None = None) -> Iterator[int]:
    """Open the folder of a file; no link is followed below `base`, which may be reached through links.

    It is the folder itself where none is given, and never less than what is pinned around it. Raises OSError, also if
    there is another folder where one is pinned.
    """
    pins = [pin for pin in tuple(_PINNED) if path.parent.is_relative_to(pin[0])]
    base = min((base or path.parent, *(place for place, _ in pins)), key=lambda place: len(place.parts))
    handle = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place = base
        _require_pinned(pins, place, handle)
        for part in path.parent.relative_to(base).parts:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle, place = inner, place / part
            _require_pinned(pins, place, handle)
        yield handle
    except OSError as error:
        error.filename = str(path)  # not only its name in the folder
        raise
    finally:
        os.close(handle)


def make_folder(path: Path, *, base: Path | None = None) -> None:
    """Make a folder that is not there yet, in that around it (see `folder_handle`).

    What is there must be a folder, and no link. Raises OSError.
    """
    with folder_handle(path, base) as folder:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path.name, dir_fd=folder)
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
    if not stat.S_ISDIR(found):
        raise OSError(errno.ENOTDIR, f"Is {kind_of(found)}, not a folder", str(path))


def unlink(path: Path) -> None:
    """Remove a file or a link, if it is there, from the folder around it (see `folder_handle`). Raises OSError."""
    with contextlib.suppress(FileNotFoundError), folder_handle(path) as folder:
        os.unlink(path.name, dir_fd=folder)


def replace(path: Path, write: Callable[[IO[bytes]], object], *, durable: bool = True, guarded: bool = False) -> None:
    """Let `write` fill a file aside and rename it over `path`; whatever goes wrong, `path` is as it was.

    A new file gets the mode that the umask leaves it, one's own that exists keeps it; nobody else may ever write to
    one that is `guarded`. What is not `durable` may be gone after a power failure, and is not waited for. Raises
    OSError.
    """
    mode = 0o644 if guarded else 0o666
    name = f"{ASIDE}{path.name[:200]}-{secrets.token_hex(4)}"
    with folder_handle(path) as folder:
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                _keep_mode(path, folder, handle, mode)
                write(file)
                file.flush()
                if durable:
                    os.fsync(handle)
            os.rename(name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise
        if durable:
            with contextlib.suppress(OSError):  # some file systems cannot do that for a folder
                os.fsync(folder)


def replace_text(path: Path, text: str, *, durable: bool = True, guarded: bool = False) -> None:
    """Write a text file (see `replace`)."""
    replace(path, lambda file: file.write(text.encode("utf-8")), durable=durable, guarded=guarded)


def clear_leftovers(folder: Path, seconds: float = OLD_SECONDS) -> None:
    """Remove from a folder what killed processes of this user have left aside there, so many seconds ago or longer.

    With 0, for who alone writes there, everything that is left.
    """
    with contextlib.suppress(OSError), folder_handle(folder / "any") as handle, os.scandir(handle) as entries:
        for entry in entries:
            if _LEFT.match(entry.name):
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if (not seconds or abs(time.time() - found.st_mtime) > seconds) and owners.is_own(found, folder):
                        removal.remove(Path(f"/proc/self/fd/{handle}", entry.name))


def _require_pinned(pins: list[tuple[Path, os.stat_result]], place: Path, handle: int) -> None:
    """Raise OSError if the folder that was opened at a place is not the one that is pinned there."""
    if any(path == place and not os.path.samestat(found, os.fstat(handle)) for path, found in pins):
        raise OSError(errno.ESTALE, _REPLACED, str(place))


def _require_regular(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"Is {kind_of(found.st_mode)}, not a regular file", str(path))


def _keep_mode(path: Path, folder: int, handle: int, most: int) -> None:
    with contextlib.suppress(OSError):
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode) and owners.is_own(found, path.parent):
            # Where others may not write to it, they do not get to by the mode that an earlier file had.
            os.fchmod(handle, stat.S_IMODE(found.st_mode) & (most | 0o111 if most == 0o644 else 0o777))
