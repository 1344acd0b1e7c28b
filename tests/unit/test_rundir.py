"""What is in a run directory: created whole or not at all, replaced whole, read with care."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from run_directories import TABLES, make, ticket
from samples import any_settings

from domcli import process, removal, rundir
from domcli.discarding import discard
from domcli.errors import RunDirectoryError, StorageError
from domcli.files import replace_text
from domcli.finding import find, list_runs, queue_places, with_tickets
from domcli.process import ProcessIdentity
from domcli.rundir import RESERVE_BYTES, RunDirectory, create, unused_name
from domcli.settings import Settings


def refuse(code: int) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_new_run_is_whole(tmp_path: Path) -> None:
    run = make(tmp_path / "runs", "pgd-dom-re-0")
    assert run.path == tmp_path / "runs" / "pgd-dom-re-0"
    assert run.name == "pgd-dom-re-0"
    assert run.read_settings() == TABLES
    assert run.read_environment() == {"python": "3"}
    assert run.read_process() is None
    assert run.events.read_bytes() == b""
    assert run.checkpoints.is_dir()
    assert run.reserve.stat().st_size == RESERVE_BYTES
    assert leftovers(tmp_path / "runs") == [
        "pgd-dom-re-0",
        "pgd-dom-re-0/.reserve",
        "pgd-dom-re-0/checkpoints",
        "pgd-dom-re-0/environment.json",
        "pgd-dom-re-0/events.jsonl",
        "pgd-dom-re-0/settings.toml",
    ]


def test_files_have_the_names_of_the_design(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a")
    paths = (run.settings, run.environment, run.process, run.events, run.log, run.checkpoints, run.memorization)
    assert [path.name for path in paths] == [
        "settings.toml",
        "environment.json",
        "process.json",
        "events.jsonl",
        "trainer.log",
        "checkpoints",
        "memorization.npy",
    ]
    assert run.checkpoint("best") == tmp_path / "a" / "checkpoints" / "best.safetensors"


def test_every_path_of_a_run_is_its_own() -> None:
    run = RunDirectory(Path("a"))
    named = {name for name, member in vars(RunDirectory).items() if isinstance(member, property)}
    assert set(run.own) == {getattr(run, name) for name in named - {"name", "own"}}


def test_what_a_run_keeps_is_known_through_links_and_other_names_are_free(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    (tmp_path / "scratch").mkdir()
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to("../scratch")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "table.csv").symlink_to("a/events.jsonl")
    kept = ("a/events.jsonl", "link/brief.json", "table.csv", "a/checkpoints/last.safetensors", "a/x/../process.json")
    for name in (*kept, "a/evaluations/new/result.json", "a/queue.json/x"):
        found = rundir.kept_by(tmp_path / name)
        assert found is not None, name
        assert found.path == run.path
    (tmp_path / "other").mkdir()
    for name in ("a/curve.svg", "a/checkpoints/../curve.svg", "a/x/events.jsonl", "events.jsonl", "other/brief.json"):
        assert rundir.kept_by(tmp_path / name) is None, name
    run.settings.unlink()
    assert rundir.kept_by(run.log) is not None


def test_others_may_read_a_run(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    assert run.path.stat().st_mode & 0o777 == 0o755
    assert run.settings.stat().st_mode & 0o777 == 0o644


@settings(max_examples=20)
@given(any_settings())
def test_settings_are_read_as_they_were_written(experiment: Settings) -> None:
    with TemporaryDirectory() as folder:
        run = create(Path(folder), "a", experiment.to_dict(), {})
        assert run.read_settings() == experiment.to_dict()


@pytest.mark.parametrize("name", ["", ".", "..", ".new-a", "-a", "a/b", "a b", "a\n", "ä", "a" * 201, "../a"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunDirectoryError, match="is not a run name"):
        create(tmp_path / "runs", name, TABLES, {})
    assert leftovers(tmp_path) == []


def test_a_taken_name_is_refused_and_the_run_untouched(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    run.events.write_text("precious")
    with pytest.raises(RunDirectoryError, match=r"a run named 'a' exists in .*; choose another --name"):
        make(tmp_path, "a")
    assert run.events.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_name_taken_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = rundir._fill

    def fill_while_another_is_quicker(run: RunDirectory, *content: Any) -> None:
        filled(run, *content)
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "settings.toml").touch()

    monkeypatch.setattr(rundir, "_fill", fill_while_another_is_quicker)
    with pytest.raises(RunDirectoryError, match="a run named 'a' exists"):
        create(tmp_path, "a", TABLES, {})
    assert leftovers(tmp_path) == ["a", "a/settings.toml"]


def test_a_file_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    for runs in (tmp_path / "runs", tmp_path / "runs" / "deeper"):
        with pytest.raises(StorageError, match=rf"cannot create a run in {runs}: .*; choose another --runs-dir"):
            create(runs, "a", TABLES, {})
    assert (tmp_path / "runs").read_text() == "not a folder"


def test_a_read_only_folder_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkdir", refuse(errno.EROFS))
    with pytest.raises(StorageError, match="Read-only file system"):
        create(tmp_path / "new" / "runs", "a", TABLES, {})
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "rename", "fdopen"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(os, step, refuse(errno.ENOSPC))
    with pytest.raises(StorageError, match=r"cannot create a run in .*: No space left on device"):
        create(tmp_path / "new" / "runs", "a", TABLES, {})
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_other_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "runs", "a")
    before = leftovers(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
    with pytest.raises(StorageError):
        create(tmp_path / "runs", "b", TABLES, {})
    assert leftovers(tmp_path) == before


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "runs", "a", TABLES, {})
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("moment", ["made", "begun", "filled", "renamed"])
def test_a_new_run_is_not_written_into_what_is_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Who may write in the runs directory swaps the folder that is being filled for a link to one of the same user."""
    runs, precious = tmp_path / "runs", tmp_path / "precious"
    for folder in (runs, precious):
        folder.mkdir()
    for name in ("settings.toml", "environment.json", "queue.json"):
        (precious / name).write_text("precious")
    before = {path: path.read_bytes() for path in precious.iterdir()}

    def swap() -> None:
        (new,) = runs.iterdir()
        shutil.move(new, tmp_path / "away")
        new.symlink_to(precious)

    def swapping(action: Any, *, first: bool = False) -> Any:
        def both(*arguments: Any) -> None:
            for step in (swap, action) if first else (action, swap):
                step(*(arguments if step is action else ()))

        return both

    with monkeypatch.context() as patch:
        if moment == "made":
            make = Path.mkdir
            patch.setattr(Path, "mkdir", lambda path, **_: None if path == runs else swapping(make)(path))
        elif moment == "renamed":
            patch.setattr(Path, "rename", swapping(os.rename))
        else:
            patch.setattr(rundir, "_fill", swapping(rundir._fill, first=moment == "begun"))
        with pytest.raises(StorageError, match="cannot create a run in"):
            create(runs, "a", TABLES, {}, ticket("a"))
    assert {path: path.read_bytes() for path in precious.iterdir()} == before
    assert list((tmp_path / "away").iterdir()) == []


def test_an_unused_name_is_the_next_in_line(tmp_path: Path) -> None:
    assert unused_name(tmp_path / "runs", "a") == "a"
    make(tmp_path, "a")
    assert unused_name(tmp_path, "a") == "a-2"
    make(tmp_path, "a-2")
    assert unused_name(tmp_path, "a") == "a-3"
    assert unused_name(tmp_path, "b") == "b"


def test_a_discarded_run_is_gone_and_the_others_are_not(tmp_path: Path) -> None:
    kept = make(tmp_path, "kept")
    discard(make(tmp_path, "gone"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.settings.is_file()


def test_what_cannot_be_removed_is_no_run_any_more_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "remove", refuse(errno.EIO))
    for _ in range(2):
        with pytest.raises(StorageError, match=r"a is removed, but files of it are left in .*removed-.*: Input/output"):
            discard(make(tmp_path, "a"))
        assert list_runs(tmp_path) == []


def test_a_run_put_in_its_place_meanwhile_is_not_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meant, other = make(tmp_path, "meant"), make(tmp_path, "other")
    looked = removal.obstacle

    def look_while_they_are_swapped(folder: Path) -> object:
        found = looked(folder)
        if folder == meant.path:
            meant.path.rename(tmp_path / "elsewhere")
            other.path.rename(meant.path)
        return found

    monkeypatch.setattr(removal, "obstacle", look_while_they_are_swapped)
    with pytest.raises(StorageError, match=r"cannot remove .*meant: another folder was put in its place meanwhile"):
        discard(meant)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "meant"]
    assert meant.settings.is_file()


def test_what_comes_into_a_run_before_it_is_moved_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, "a")
    before = leftovers(run.path)
    obstacles = iter([None, removal.Obstacle(run.path / "notes", 54_321)])

    def look(folder: Path) -> removal.Obstacle | None:
        found = next(obstacles)
        return found and removal.Obstacle(folder / "notes", found.owner)

    monkeypatch.setattr(removal, "obstacle", look)
    with pytest.raises(StorageError, match=rf"cannot remove {run.path}: {run.path}/notes belongs to user 54321, who"):
        discard(run)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert leftovers(run.path) == before


def test_discarding_in_a_read_only_folder_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, "a")
    monkeypatch.setattr(Path, "rename", refuse(errno.EROFS))
    with pytest.raises(StorageError, match=rf"cannot remove {run.path}: Read-only file system"):
        discard(run)
    assert run.settings.is_file()


@pytest.mark.parametrize("content", [b"[train", b"\xff", b"x = 0x" + b"f" * 5000, None])
def test_damaged_settings_are_an_error_with_the_file(tmp_path: Path, content: bytes | None) -> None:
    run = make(tmp_path, "a")
    if content is None:
        run.settings.unlink()
    else:
        run.settings.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=rf"cannot read {run.settings}: "):
        run.read_settings()


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]", None])
def test_a_damaged_environment_is_empty(tmp_path: Path, content: bytes | None) -> None:
    run = make(tmp_path, "a")
    if content is None:
        run.environment.unlink()
    else:
        run.environment.write_bytes(content)
    assert run.read_environment() == {}


def test_the_environment_is_added_to(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    run.update_environment({"device": "cpu"})
    run.update_environment({"device": "cuda", "torch": "2"})
    assert json.loads(run.environment.read_text()) == {"python": "3", "device": "cuda", "torch": "2"}


def test_the_process_is_read_as_written(tmp_path: Path) -> None:
    run = make(tmp_path, "a")
    identity = ProcessIdentity(pid=42, start_time=10.5, host="here", cwd="/tmp", launched=10.25)
    run.write_process(identity)
    assert run.read_process() == msgspec.structs.replace(identity, directory=run.path.stat().st_ino)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"pid":1,"start_time":0,"host":"\xff","cwd":"/"}',
        b'{"pid":-1,"start_time":0,"host":"a","cwd":"/"}',
        b'{"pid":"1","start_time":0,"host":"a","cwd":"/"}',
    ],
)
def test_a_damaged_process_is_none(tmp_path: Path, content: bytes) -> None:
    run = make(tmp_path, "a")
    run.process.write_bytes(content)
    assert run.read_process() is None


@pytest.mark.parametrize("step", ["fsync", "rename", "fdopen"])
def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a.json"
    replace_text(path, "old")
    monkeypatch.setattr(os, step, refuse(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        replace_text(path, "new")
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == ["a.json"]


def test_a_replacement_is_on_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    replace_text(path, "old")
    seen: list[tuple[str, str]] = []

    def look(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            return
        (aside,) = (file for file in tmp_path.iterdir() if file != path)
        seen.append((path.read_text(), aside.read_text()))

    monkeypatch.setattr(os, "fsync", look)
    replace_text(path, "new")
    assert seen == [("old", "new")]
    assert path.read_text() == "new"


def test_a_copy_of_a_run_is_not_what_its_trainer_works_on(tmp_path: Path) -> None:
    run = rundir.create(tmp_path, "original", {}, {})
    identity = process.identify()
    assert identity is not None
    run.write_process(identity)
    found = run.read_process()
    assert found is not None
    assert found.pid == identity.pid
    copied = RunDirectory(Path(shutil.copytree(run.path, tmp_path / "copy")))
    assert copied.read_process() is None
    run.path.rename(tmp_path / "renamed")
    assert RunDirectory(tmp_path / "renamed").read_process() == found


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "x" * 300])
def test_names_are_checked_before_anything_is_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunDirectoryError, match="is not a run name"):
        rundir.require_unused(tmp_path, name)


def test_a_link_to_a_run_is_named_by_path_and_discarded_as_a_link(tmp_path: Path) -> None:
    run = make(tmp_path / "elsewhere", "original")
    (tmp_path / "runs").mkdir()
    link = tmp_path / "runs" / "link"
    link.symlink_to(run.path)
    found = find(tmp_path / "runs", str(link))
    assert found.path == link
    discard(found)
    assert leftovers(tmp_path / "runs") == []
    assert run.settings.is_file()


def test_a_ticket_lies_in_its_own_run_and_in_no_copy_of_it(tmp_path: Path) -> None:
    run = create(tmp_path, "a", TABLES, {}, ticket("t"))
    assert run.read_ticket() == msgspec.structs.replace(ticket("t"), directory=run.path.stat().st_ino)
    assert run.waiting_ticket() == run.read_ticket()
    copied = RunDirectory(Path(shutil.copytree(run.path, tmp_path / "copy")))
    assert copied.read_ticket() is None
    assert [found.name for found in with_tickets(tmp_path)] in (["a", "copy"], ["copy", "a"])
    assert queue_places(tmp_path) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"id": 1}'])
def test_a_damaged_ticket_is_none(tmp_path: Path, content: bytes) -> None:
    run = create(tmp_path, "a", TABLES, {}, ticket("t"))
    run.ticket.write_bytes(content)
    assert run.read_ticket() is None
    assert queue_places(tmp_path) == {}


def test_a_ticket_waits_until_a_trainer_was_launched_for_it(tmp_path: Path) -> None:
    run = create(tmp_path, "a", TABLES, {}, ticket("second"))
    identity = ProcessIdentity(pid=42, start_time=1.0, host="here", cwd="/", ticket="first")
    run.write_process(identity)
    assert run.waiting_ticket() == run.read_ticket()
    run.write_process(msgspec.structs.replace(identity, ticket="second"))
    assert run.waiting_ticket() is None
    assert run.read_ticket() is not None
