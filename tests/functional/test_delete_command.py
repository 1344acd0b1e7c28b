"""`domcli delete`: what is removed, what is refused, and that nothing else is touched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from made_runs import make
from terminal import Terminal

from domcli import locks, process, removal
from domcli.launch import queue


def left() -> list[str]:
    return sorted(path.name for path in Path("runs").iterdir())


@pytest.fixture
def several(cli) -> None:
    make("done", "finished")
    make("broken", "failed", epochs=1)
    make("waiting", "queued")


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("arguments", "deleted"),
    [
        (["done"], ["done"]),
        (["w", "runs/done"], ["waiting", "done"]),
        (["*"], ["done", "broken", "waiting"]),
        (["--state", "failed,queued"], ["broken", "waiting"]),
        (["*n*", "--state", "failed"], ["broken"]),
        (["--state", "lost"], []),
    ],
)
def test_what_is_named_is_deleted_and_nothing_else(cli, arguments: list[str], deleted: list[str]):
    done = cli("delete", *arguments, "--yes", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == deleted
    assert left() == sorted({"done", "broken", "waiting"} - set(deleted))


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["done"], "there is no terminal to ask whether to delete 1 run; add --yes"),
        (["done", "absent", "--yes"], "no run named 'absent' in runs"),
        (["--yes"], "name the runs to delete, or choose them by what they are doing, as with --state failed"),
        (["--state", "old", "--yes"], "unknown state 'old' for --state"),
    ],
)
def test_what_is_not_clear_deletes_nothing(cli, arguments: list[str], problem: str):
    done = cli("delete", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {problem}")
    assert left() == ["broken", "done", "waiting"]


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("state", ["running", "starting"])
def test_a_run_at_work_is_refused_before_anything_is_deleted(cli, state: str):
    busy = make("busy", state)
    done = cli("delete", "done", "busy", "--yes")
    assert done.returncode == 2
    assert done.stderr == "error: busy: a trainer is at work; stop it first with: domcli stop busy\n"
    assert left() == ["broken", "busy", "done", "waiting"]
    identity = busy.read_process()
    assert identity is not None
    process.signal(identity, signal.SIGKILL)
    assert cli("delete", "busy", "--yes").stderr == "deleted 1 run\n"


@pytest.mark.usefixtures("several")
def test_a_run_that_somebody_has_locked_is_refused(cli):
    lock = locks.acquire(Path("runs/done/trainer.lock"))
    assert lock is not None
    assert "done: a trainer is at work" in cli("delete", "broken", "done", "--yes").stderr
    os.close(lock)
    assert left() == ["broken", "done", "waiting"]


def test_a_deleted_run_is_out_of_the_queue(cli):

    run = make("mine", "queued")
    run.write_ticket(queue.new_ticket(queue.choose_devices("cpu")))
    assert len(queue.tickets(Path("runs"))) == 1
    assert cli("delete", "mine", "--yes").returncode == 0
    assert queue.tickets(Path("runs")) == []


def test_links_are_deleted_as_links(cli, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    original = make("original", "finished", runs_dir=elsewhere)
    (elsewhere / "precious").write_text("results")
    keeper = make("keeper", "finished")
    (keeper.path / "link").symlink_to(elsewhere)
    Path("runs/linked").symlink_to(original.path)
    assert cli("delete", "linked", "runs/keeper", "--yes").stderr == "deleted 2 runs\n"
    assert left() == []
    assert original.settings.is_file()
    assert (elsewhere / "precious").read_text() == "results"


def test_somebodys_own_folder_is_refused(cli):
    folder = Path("runs/project")
    folder.mkdir(parents=True)
    (folder / "settings.toml").write_text("[tool]\n")
    make("done", "finished")
    done = cli("delete", "*", "--yes")
    assert done.returncode == 2
    assert "project is not a run that domcli made" in done.stderr
    assert left() == ["done", "project"]


def test_a_folder_without_settings_is_no_run(cli):
    (Path("runs") / "plots").mkdir(parents=True)
    done = cli("delete", "runs/plots", "--yes")
    assert (done.returncode, left()) == (2, ["plots"])


def test_what_could_be_deleted_is_told_when_something_stands_in_the_way(cli, monkeypatch):
    make("first", "finished")
    second = make("second", "finished")
    renamed = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == second.name:
            raise PermissionError(13, "Permission denied")
        return renamed(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    done = cli("delete", "first", "second", "--yes", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout) == ["first"]
    assert "cannot remove" in done.stderr
    assert "Permission denied" in done.stderr


def test_a_run_that_left_files_behind_is_not_said_to_be_there(cli, monkeypatch):
    make("first", "finished")
    make("second", "finished")

    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(removal, "remove", refuse)
    done = cli("delete", "first", "second", "--yes")
    assert done.returncode == 2
    told, error = done.stderr.splitlines()
    assert told == "deleted 1 run"
    assert error.startswith("error: first is removed, but files of it are left in runs/.new-removed-")
    assert [name for name in left() if not name.startswith(".")] == ["second"]


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize(("answer", "gone"), [(b"y\n", True), (b"n\n", False), (b"\n", False), (b"\x03", False)])
def test_a_person_is_asked_once(cli, answer: bytes, gone: bool):
    terminal = Terminal(cli.command("delete", "done", "waiting"), columns=100)
    terminal.wait_for(r"Delete 2 runs with everything in them\? \[y/N\]: $")
    assert "  done     finished  best 32.00 %\n" in terminal.text
    assert "  waiting  queued\n" in terminal.text
    assert left() == ["broken", "done", "waiting"]
    terminal.wait_until_it_reads()
    terminal.press(answer)
    assert (terminal.end() == 0) == (answer != b"\x03")
    assert ("deleted 2 runs" in terminal.text) == gone
    assert left() == (["broken"] if gone else ["broken", "done", "waiting"])


def test_a_copied_run_is_deleted_and_the_original_trains_on(cli):
    original = make("original", "running")
    shutil.copytree(original.path, "runs/copy")
    assert cli("delete", "copy", "--yes").returncode == 0
    assert left() == ["original"]
    identity = original.read_process()
    assert identity is not None
    assert process.liveness(identity) == "alive"
