"""Files are opened in one way: no pipe, device or planted link gets in the way, and modes are those of the umask."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from domcli import files, locks, owners, results

ROOT = os.geteuid() == 0
NOBODY = 54_321


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "Is a named pipe, not a regular file"),
    "folder": (Path.mkdir, "Is a folder, not a regular file"),
    "socket": (a_socket, "Is a socket, not a regular file"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "Is a device, not a regular file"),
    "nothing": (lambda path: path.symlink_to("/dev/null"), "Is a device, not a regular file"),
    "dangling": (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    "loop": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
}


@pytest.fixture(params=SPECIAL)
def special(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A file that is not one, and what is said of it."""
    monkeypatch.chdir(tmp_path)
    make, said = SPECIAL[request.param]
    make(tmp_path / "it")
    return tmp_path / "it", said


def test_only_regular_files_are_read(special: tuple[Path, str]) -> None:
    path, said = special
    with pytest.raises(OSError, match=said):
        files.read_bytes(path)
    assert not files.is_regular(path)


def test_reading_takes_no_more_memory_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"some bytes")
    assert files.read_bytes(file, 1 << 62) == b"some bytes"


def test_a_file_that_does_not_tell_its_size_is_read_whole() -> None:
    assert files.read_text(Path("/proc/self/status")).startswith("Name:")
    assert "voluntary_ctxt_switches" in files.read_text(Path("/proc/self/status"))
    with pytest.raises(OSError, match="Has more than 0 MB"):
        files.read_bytes(Path("/proc/self/status"), 100)


def test_a_file_is_read_through_a_link_up_to_a_sane_size(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("real")
    assert files.read_bytes(tmp_path / "link", most=5) == b"12345"
    with pytest.raises(OSError, match="Has more than 0 MB"):
        files.read_bytes(tmp_path / "link", most=4)
    with pytest.raises(OSError, match="Is a link, not a regular file"):
        files.open_bytes(tmp_path / "link", through_links=False)
    assert files.read_tail(tmp_path / "link", 2) == (b"45", True)
    assert files.read_tail(tmp_path / "link", 5) == (b"12345", False)


@pytest.mark.parametrize("target", ["victim", "absent"])
def test_nothing_is_written_through_a_planted_link(tmp_path: Path, target: str) -> None:
    (tmp_path / "victim").write_text("export PATH")
    (tmp_path / "it").symlink_to(target)
    before = (tmp_path / "victim").stat()
    for open_it in (
        lambda path: files.open_own(path, os.O_RDWR),
        lambda path: files.open_shared(path, base=tmp_path),
        locks.acquire,
        lambda path: locks.acquire(path, shared=True),
    ):
        with pytest.raises(Exception, match="Too many levels of symbolic links"):
            open_it(tmp_path / "it")
    assert not locks.is_held(tmp_path / "it")
    after = (tmp_path / "victim").stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_size) == (before.st_mode, before.st_mtime_ns, before.st_size)
    assert not (tmp_path / "absent").exists()


def test_no_link_is_followed_below_the_base(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "inner").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to("base")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        files.open_own(tmp_path / "link" / "inner" / "file", os.O_RDWR, base=tmp_path / "link")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    os.close(files.open_own(tmp_path / "link" / "file", os.O_RDWR, base=tmp_path / "link"))
    assert (tmp_path / "base" / "file").is_file()


def put_in_place_of(path: Path, target: Path) -> Path:
    """Do what somebody can who may write in the folder around: move a folder away and put a link there."""
    away = path.with_name(f"{path.name}-away")
    path.rename(away)
    path.symlink_to(target)
    return away


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


WRITERS: dict[str, Callable[[Path], object]] = {
    "own": lambda folder: os.close(files.open_own(folder / "file", os.O_WRONLY | os.O_TRUNC)),
    "new": lambda folder: os.close(files.open_own(folder / "new", os.O_WRONLY)),
    "replace": lambda folder: files.replace_text(folder / "file", "text"),
    "folder": lambda folder: files.make_folder(folder / "new"),
    "unlink": lambda folder: files.unlink(folder / "file"),
    "lock": lambda folder: locks.acquire(folder / "file"),
    "leftovers": lambda folder: files.clear_leftovers(folder, 0),
}


@pytest.mark.parametrize("swapped", ["run", "run/inner"])
@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_is_written_in_a_folder_put_in_place_of_a_pinned_one(tmp_path: Path, swapped: str, writer: str) -> None:
    for folder in ("run/inner", "precious/inner"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("file", ".new-file", "inner/file", "inner/.new-file"):
            ((tmp_path / folder).parent / name).write_text("precious")
    before = everything(tmp_path / "precious")
    with files.pinned(tmp_path / "run"):
        put_in_place_of(tmp_path / swapped, tmp_path / "precious" / ("inner" if "/" in swapped else ""))
        for folder in {swapped, "run/inner"}:
            with contextlib.suppress(OSError) if writer == "leftovers" else pytest.raises(Exception) as refused:
                WRITERS[writer](tmp_path / folder)
            if refused is not None:
                said = str(refused.value)
                assert "another folder in its place" in said or "Not a directory" in said or "Too many levels" in said
    assert everything(tmp_path / "precious") == before
    files.replace_text(tmp_path / "run" / "inner" / "file", "written by whoever holds nothing")


def test_another_folder_of_ones_own_is_no_pinned_one_either(tmp_path: Path) -> None:
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
    with files.pinned(tmp_path / "one"):
        (tmp_path / "one").rename(tmp_path / "away")
        (tmp_path / "another").rename(tmp_path / "one")
        with pytest.raises(OSError, match="Somebody has put another folder in its place"):
            files.replace_text(tmp_path / "one" / "file", "text")
        assert list((tmp_path / "one").iterdir()) == []
        (tmp_path / "one").rename(tmp_path / "another")
        (tmp_path / "away").rename(tmp_path / "one")
        files.replace_text(tmp_path / "one" / "file", "text")
    assert (tmp_path / "one" / "file").read_text() == "text"


def test_what_is_being_written_stays_in_the_folder_in_which_it_was_begun(tmp_path: Path) -> None:
    for name in ("run", "precious"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("old")

    def write(file: IO[bytes]) -> None:
        put_in_place_of(tmp_path / "run", tmp_path / "precious")
        file.write(b"new")

    files.replace(tmp_path / "run" / "file", write)
    assert everything(tmp_path / "precious") == {str(tmp_path / "precious" / "file"): b"old"}
    assert everything(tmp_path / "run-away") == {str(tmp_path / "run-away" / "file"): b"new"}


def test_a_folder_reached_through_a_link_of_ones_own_is_pinned_as_it_is(tmp_path: Path) -> None:
    for name in ("real", "another"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    with files.pinned(link), files.pinned(link):
        files.make_folder(link / "inner")
        files.replace_text(link / "inner" / "file", "text")
        link.unlink()
        link.symlink_to("another")
        with pytest.raises(OSError, match="another folder in its place"):
            files.make_folder(link / "inner")
    assert (tmp_path / "real" / "inner" / "file").read_text() == "text"
    files.make_folder(link / "inner")
    assert (tmp_path / "another" / "inner").is_dir()


def test_a_new_folder_is_the_one_that_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another folder of the same user's, put in its place at once, is neither filled nor emptied."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("precious")
    make = Path.mkdir

    for target in ("link", "folder"):

        def swap(path: Path, target: str = target) -> None:
            make(path)
            path.rename(tmp_path / f"away-{target}")
            if target == "link":
                path.symlink_to("precious")
            else:
                (tmp_path / "precious").rename(path)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "mkdir", swap)
            with (
                pytest.raises(OSError, match=r"another folder|Not a directory|Too many levels"),
                files.new_folder(tmp_path / target),
            ):
                raise AssertionError("it was taken for the new one")
    assert (tmp_path / "folder" / "file").read_text() == "precious"


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket"])
def test_only_a_regular_file_is_opened_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    SPECIAL[kind][0](tmp_path / "it")
    with pytest.raises(OSError, match=r"not a regular file|Is a directory|No such device or address"):
        os.close(files.open_own(tmp_path / "it", os.O_WRONLY))


def test_a_second_name_in_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "log").hardlink_to(tmp_path / "victim")
    os.close(files.open_own(shared / "log", os.O_WRONLY))
    shared.chmod(0o775)
    with pytest.raises(OSError, match="Has a second name"):
        files.open_own(shared / "log", os.O_WRONLY)


@pytest.mark.skipif(not ROOT, reason="only root can make files that belong to somebody else")
def test_a_folder_of_somebody_else_is_one_of_others_whatever_its_mode(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    (theirs / "log").hardlink_to(tmp_path / "victim")
    os.chown(theirs, NOBODY, NOBODY)
    with pytest.raises(OSError, match="Has a second name"):
        files.open_own(theirs / "log", os.O_WRONLY)
    os.close(files.open_own(theirs / "other", os.O_WRONLY))
    with pytest.raises(OSError, match=f"Belongs to user {NOBODY}"), files.pinned(theirs):
        raise AssertionError("it was pinned")


@pytest.mark.skipif(not ROOT, reason="only root can make files that belong to somebody else")
def test_what_belongs_to_somebody_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("theirs")
    os.chown(tmp_path / "log", NOBODY, NOBODY)
    with pytest.raises(OSError, match=f"Belongs to user {NOBODY}"):
        files.open_own(tmp_path / "log", os.O_WRONLY)
    os.close(files.open_shared(tmp_path / "log", base=tmp_path))
    assert not owners.is_private(tmp_path / "log")


def test_a_file_system_that_shows_another_owner_for_everything_is_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_seen_as", owners._seen_as.__wrapped__)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)  # and files belong to whom this process is
    os.close(files.open_own(tmp_path / "log", os.O_WRONLY))
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize(("mask", "new"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_new_files_follow_the_umask_and_old_ones_keep_their_mode(tmp_path: Path, mask: int, new: int) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o640)
    with umask(mask):
        for name in ("old", "new"):
            files.replace_text(tmp_path / name, "text")
        results.result(tmp_path / "inner" / "result", lambda file: file.write(b"text"))
        os.close(files.open_own(tmp_path / "own", os.O_RDWR))
        os.close(files.open_shared(tmp_path / "shared", base=tmp_path))
    assert mode(tmp_path / "old") == 0o640
    assert {mode(tmp_path / name) for name in ("new", "own", "shared", "inner/result")} == {new}


def test_a_result_goes_through_a_link_and_keeps_the_mode(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o604)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("made")
    for name in ("link", "dangling"):
        results.require_writable(tmp_path / name)
        results.result(tmp_path / name, lambda file: file.write(b"new"))
        assert (tmp_path / name).is_symlink()
    assert ((tmp_path / "real").read_text(), mode(tmp_path / "real")) == ("new", 0o604)
    assert (tmp_path / "made").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_result_is_written_into_pipes_and_devices_as_they_are(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    results.require_writable(tmp_path / "pipe")
    results.result(tmp_path / "pipe", lambda file: file.write(b"x" * 200_000))
    reader.join()
    assert got == [b"x" * 200_000]
    (tmp_path / "null").symlink_to("/dev/null")
    results.result(tmp_path / "null", lambda file: file.write(b"x"))
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)


def test_a_pipe_that_nobody_reads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "READER_SECONDS", 0.0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Is a named pipe that nobody reads"):
        results.result(tmp_path / "pipe", lambda file: file.write(b"x"))


@pytest.mark.parametrize("kind", ["folder", "socket", "loop"])
def test_a_result_in_place_of_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    SPECIAL[kind][0](tmp_path / "it")
    with pytest.raises(OSError, match=r"not a file|Too many levels"):
        results.result(tmp_path / "it", lambda file: file.write(b"x"))
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_result_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("old")

    def fail(file: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        results.result(tmp_path / "it", fail)
    assert (tmp_path / "it").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_a_place_that_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        results.require_writable(tmp_path / "file" / "inner" / "it")
    with pytest.raises(OSError, match="Is a folder, not a file"):
        results.require_writable(tmp_path)
    results.require_writable(tmp_path / "new" / "inner" / "it")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


LEFT = (
    *(".new-process.json-0a1b2c3d", ".process.json-abcd_123", ".brief.json-12345678", ".last.safetensors-new"),
    *(".new-removed-0123", ".memorization.npy-new"),
)
KEPT = (".reserve", "process.json", ".notes.json-12345678", "new-x", ".brief.json", ".nfs000")


def test_what_killed_processes_left_aside_is_cleared_once_it_is_old(tmp_path: Path) -> None:
    for name in (*LEFT, *KEPT, ".new-fresh"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".new-folder" / "checkpoints").mkdir(parents=True)
    (tmp_path / ".new-link").symlink_to(tmp_path / "process.json")
    old = time.time() - files.OLD_SECONDS - 60
    for name in (*LEFT, *KEPT, ".new-folder", ".new-link"):
        os.utime(tmp_path / name, (old, old), follow_symlinks=False)
    files.clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*KEPT, ".new-fresh"}
    files.clear_leftovers(tmp_path / "absent")


@pytest.mark.skipif(not ROOT, reason="only root can make files that belong to somebody else")
def test_what_others_left_is_theirs(tmp_path: Path) -> None:
    (tmp_path / LEFT[0]).write_text("x")
    old = time.time() - files.OLD_SECONDS - 60
    os.utime(tmp_path / LEFT[0], (old, old))
    os.chown(tmp_path / LEFT[0], NOBODY, NOBODY)
    files.clear_leftovers(tmp_path)
    assert (tmp_path / LEFT[0]).exists()


@pytest.mark.parametrize("name", [b"plain", "Übung".encode(), b"caf\xe9", b"\xff\xfe"])
def test_any_path_can_be_kept_in_json(name: bytes) -> None:
    path = Path(os.fsdecode(b"/tmp/" + name))
    text = files.path_as_text(path)
    assert files.text_as_path(json.loads(json.dumps(text).encode("utf-8"))) == path
    assert (text == str(path)) == (not any("\udc80" <= sign <= "\udcff" for sign in str(path)))


def test_what_nobody_wrote_is_a_path_at_which_nothing_is() -> None:
    assert not files.text_as_path("\0no digits").is_dir()
