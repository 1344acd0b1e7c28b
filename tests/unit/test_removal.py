"""Folders are removed whole, however deep they are, and whatever others do in them at the same time."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from domcli import removal

DEEPER_THAN_FILES_MAY_BE_OPEN = 1500
NOBODY = 54_321


def nest(top: Path, levels: int, name: str = "d") -> None:
    """Make folders within folders, deeper than a path can tell."""
    top.mkdir()
    handle = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=handle))
    os.close(handle)


@pytest.mark.parametrize(("levels", "name"), [(DEEPER_THAN_FILES_MAY_BE_OPEN, "d"), (30, "d" * 200)])
def test_however_deep_a_folder_is_it_is_looked_through_and_removed(tmp_path: Path, levels: int, name: str) -> None:
    nest(tmp_path / "top", levels, name)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    assert removal.obstacle(tmp_path / "top") is None
    removal.remove(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == opened


def test_what_is_no_folder_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (tmp_path / "top" / "inner").mkdir(parents=True)
    for link in (tmp_path / "link", tmp_path / "top" / "link", tmp_path / "top" / "inner" / "dangling"):
        link.symlink_to("nowhere" if link.name == "dangling" else kept)
    os.mkfifo(tmp_path / "top" / "pipe")
    removal.remove(tmp_path / "link")
    removal.remove(tmp_path / "top")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]
    with pytest.raises(FileNotFoundError):
        removal.remove(tmp_path / "absent")


def as_nobody(action: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            action()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(
    ("mode", "owner"), [(0o700, 0), (0o755, 0), (0o711, 0), (0o1777, 0), (0o500, NOBODY), (0o777, 0)]
)
def test_a_folder_that_one_may_not_empty_is_found_even_where_no_path_reaches(mode: int, owner: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:  # that of pytest is shut to others
        Path(name).chmod(0o755)
        top = Path(name) / "top"
        top.mkdir()
        within = top / "deep" / "notes"
        within.mkdir(parents=True)
        (within / "note").touch()
        for path in (top, top / "deep"):
            os.chown(path, NOBODY, NOBODY)
        os.chown(within, owner, owner)
        within.chmod(mode)
        expected = None if mode == 0o777 else removal.Obstacle(within, owner)
        found: list[object] = []

        def look() -> None:
            found.append(removal.obstacle(top))
            assert found == [expected]

        as_nobody(look)
        assert (within / "note").exists()


def test_what_others_remove_or_add_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "top"
    (top / "inner").mkdir(parents=True)
    for name in "abc":
        (top / "inner" / name).touch()
    unlink, rmdir = os.unlink, os.rmdir
    added: list[str] = []

    def unlink_what_is_gone(name: str, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        unlink(name, dir_fd=dir_fd)

    def add_before(name: str, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and len(added) < removal.ATTEMPTS - 1:
            added.append(name)
            (top / name / f"new{len(added)}").touch()
        rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink_what_is_gone)
    monkeypatch.setattr(os, "rmdir", add_before)
    removal.remove(top)
    assert not top.exists()
    assert len(added) == removal.ATTEMPTS - 1


def test_who_never_stops_adding_is_told_of_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **_: int) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))

    (tmp_path / "top" / "inner").mkdir(parents=True)
    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(OSError, match="Directory not empty") as caught:
        removal.remove(tmp_path / "top")
    assert caught.value.filename == str(tmp_path / "top" / "inner")


def test_nobody_else_puts_anything_into_a_folder_that_is_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "top" / "inner").mkdir(parents=True)
    for path in (tmp_path / "top", tmp_path / "top" / "inner"):
        path.chmod(0o2775)
    rmdir, seen = os.rmdir, []

    def look(name: str, *, dir_fd: int | None = None) -> None:
        seen.append(stat.S_IMODE(os.stat(name, dir_fd=dir_fd).st_mode) & 0o077)
        rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", look)
    removal.remove(tmp_path / "top")
    assert seen == [0, 0]


def test_a_folder_that_is_moved_away_meanwhile_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back from it would lead into the folder to which it was moved."""
    inner = tmp_path / "top" / "inner"
    inner.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    scandir, moved = os.scandir, []

    def move(handle: int) -> object:
        if not moved and os.path.samestat(os.fstat(handle), inner.stat()):
            moved.append(inner.rename(victim / "inner"))
        return scandir(handle)

    monkeypatch.setattr(os, "scandir", move)
    removal.remove(tmp_path / "top")
    assert moved
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "precious", "victim"]
