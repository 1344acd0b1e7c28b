"""What `domcli doctor` says about facts that are given to it: environments, files, runs, terminals."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from importlib import metadata
from pathlib import Path

import pytest
from checked import by_name

import domcli
from domcli import rundir
from domcli.catalogue import DATASETS
from domcli.checks import datasets, queue, software, storage, terminal
from domcli.checks.check import Check, guarded, plural
from domcli.devices import CPU
from domcli.process import ProcessIdentity, identify
from domcli.settings import Settings
from domcli.ticket import Ticket

TRUECOLOR = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_GB.UTF-8"}


def sized(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def test_data_sets_that_are_there(tmp_path):
    for download in (download for one in DATASETS for download in one.downloads):
        for member in download.read:
            sized(tmp_path / member.path, member.least)
    assert {check.status for check in datasets.check(tmp_path)} == {"ok"}


def test_data_sets_that_are_missing(tmp_path):
    root = tmp_path / "data"
    found = by_name(datasets.check(root))
    assert [found[name].status for name in ("cifar10", "cifar100", "svhn", "digits")] == [*["warning"] * 3, "ok"]
    assert found["cifar10"].text == f"not in {root}"
    assert found["cifar10"].remedy == (
        f"the first run downloads it (170 MB); without a network, put cifar-10-python.tar.gz in {root}"
    )
    assert "train_32x32.mat and test_32x32.mat" in found["svhn"].remedy
    assert not root.exists()


def test_data_sets_that_are_there_in_part(tmp_path):
    sized(tmp_path / "cifar-10-python.tar.gz", 170_498_071)
    sized(tmp_path / "cifar-100-python" / "train", 1000)
    sized(tmp_path / "train_32x32.mat", 182_040_794)
    found = by_name(datasets.check(tmp_path))
    assert (found["cifar10"].status, "unpacked by the first run" in found["cifar10"].text) == ("ok", True)
    assert found["cifar100"].text == f"cifar-100-python/train in {tmp_path} is too short: 1000 bytes"
    assert found["svhn"].text == f"incomplete in {tmp_path}: test_32x32.mat is missing"
    assert "(64 MB); without a network, put test_32x32.mat in" in found["svhn"].remedy


def test_own_images(tmp_path):
    assert "imagefolder" not in by_name(datasets.check(tmp_path))
    for name in ("train/cat", "train/dog", "train/.hidden"):
        (tmp_path / name).mkdir(parents=True)
    found = by_name(datasets.check(tmp_path))["imagefolder"]
    assert (found.status, "neither a folder test nor a folder val" in found.text) == ("warning", True)
    (tmp_path / "val" / "cat").mkdir(parents=True)
    assert by_name(datasets.check(tmp_path))["imagefolder"].status == "warning"
    (tmp_path / "val" / "dog").mkdir()
    found = by_name(datasets.check(tmp_path))["imagefolder"]
    assert (found.status, found.text) == ("ok", f"2 class folders in {tmp_path}")


def test_a_good_runs_directory(tmp_path):
    found = by_name(storage.check(tmp_path, needed=1))
    assert [found[name].status for name in ("runs directory", "locks", "disk space")] == ["ok"] * 3
    found = by_name(storage.check(tmp_path / "new" / "runs", needed=1))
    assert found["runs directory"].text == f"{tmp_path}/new/runs does not exist yet and can be made"
    assert list(tmp_path.iterdir()) == []


def test_a_runs_directory_without_room(tmp_path):
    found = by_name(storage.check(tmp_path, needed=2**62))["disk space"]
    assert (found.status, "--set checkpoint.every=0" in found.remedy) == ("problem", True)


def test_a_file_in_place_of_the_runs_directory(tmp_path):
    (tmp_path / "runs").touch()
    (only,) = storage.check(tmp_path / "runs", needed=1)
    assert (only.status, only.text) == ("problem", f"{tmp_path}/runs is not a folder")


@pytest.mark.parametrize(("number", "remedy"), [(errno.EROFS, "writable"), (errno.ENOSPC, "free some space there")])
def test_a_runs_directory_that_cannot_be_written(tmp_path, monkeypatch, number, remedy):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", refuse)
    found = by_name(storage.check(tmp_path, needed=1))
    assert found["runs directory"].text == f"nothing can be written in {tmp_path}: {os.strerror(number)}"
    assert remedy in found["runs directory"].remedy
    assert list(found) == ["runs directory", "file system"]


def put_link(place, other):
    place.symlink_to(other)


def put_folder(place, other):
    other.rename(place)


@pytest.mark.parametrize("put", [put_link, put_folder])
def test_nothing_is_written_into_a_folder_put_in_place_of_the_one_that_was_made(tmp_path, monkeypatch, put):
    """Where others may write, too, they may rename what has just been made."""
    runs, other = tmp_path / "runs", tmp_path / "other"
    runs.mkdir()
    other.mkdir()
    for name in storage.MADE:
        (other / name).write_text("precious")
    made = os.mkdir

    def make_and_swap(name: str, mode: int, *, dir_fd: int) -> None:
        made(name, mode, dir_fd=dir_fd)
        (runs / name).rename(runs / "aside")
        put(runs / name, other)

    monkeypatch.setattr(os, "mkdir", make_and_swap)
    found = by_name(storage.check(runs, needed=1))["runs directory"]
    assert found.status == "problem"
    (there,) = (other,) if put is put_link else (path for path in runs.iterdir() if path.name != "aside")
    assert {path.name: path.read_text() for path in there.iterdir()} == dict.fromkeys(storage.MADE, "precious")


def test_what_is_written_in_the_runs_directory_stays_in_the_folder_that_was_made(tmp_path, monkeypatch):
    runs, other = tmp_path / "runs", tmp_path / "other"
    runs.mkdir()
    other.mkdir()
    renamed = os.replace

    def swap_and_rename(*names: str, **folders: int) -> None:
        (place,) = runs.iterdir()
        place.rename(tmp_path / "aside")
        place.symlink_to(other)
        renamed(*names, **folders)

    monkeypatch.setattr(os, "replace", swap_and_rename)
    assert by_name(storage.check(runs, needed=1))["locks"].status == "ok"
    assert list(other.iterdir()) == list((tmp_path / "aside").iterdir()) == []


def test_a_file_system_whose_locks_do_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    found = by_name(storage.check(tmp_path, needed=1))["locks"]
    assert (found.status, "can be locked again" in found.text) == ("problem", True)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    found = by_name(storage.check(tmp_path, needed=1))["locks"]
    assert (found.status, found.text) == ("problem", "files cannot be locked there: No locks available")


def test_file_systems(tmp_path):
    mounts = tmp_path / "mountinfo"
    line = "36 35 0:21 / {} rw,relatime shared:1 - {} {} rw\n"
    mounts.write_text(
        line.format("/", "ext4", "/dev/sda")
        + line.format(str(tmp_path).replace(" ", "\\040"), "nfs4", "server:/export")
        + line.format(tmp_path / "fast", "tmpfs", "tmpfs")
        + "garbage\n"
    )
    (tmp_path / "fast").mkdir()
    found = [by_name(storage.check(folder, 1, mounts))["file system"] for folder in (tmp_path, tmp_path / "fast")]
    assert [check.details["type"] for check in found] == ["nfs4", "tmpfs"]
    assert [check.status for check in found] == ["ok", "warning"]
    assert found[0].text.startswith("nfs4 from server:/export")
    assert storage.file_system(Path("/home"), mounts.read_text()) == ("ext4", "/dev/sda")


def new_run(runs_dir: Path, name: str, ticket: Ticket | None = None) -> rundir.RunDirectory:
    return rundir.create(runs_dir, name, Settings().to_dict(), {}, ticket)


def ticket(host: str = "") -> Ticket:
    host = host or socket.gethostname()
    return Ticket(id="1", queued=1.0, host=host, owner=os.getuid(), folder="/", devices=(CPU,))


def test_an_empty_queue(tmp_path):
    (only,) = queue.check(queue.read_runs(tmp_path), supervised=False)
    assert (only.status, only.text) == ("ok", "0 runs waiting, 0 at work, no supervisor is at work")


def test_waiting_runs_want_a_supervisor(tmp_path):
    new_run(tmp_path, "mine", ticket())
    new_run(tmp_path, "theirs", ticket("another-machine"))
    runs = queue.read_runs(tmp_path)
    assert by_name(queue.check(runs, supervised=True))["queue"].status == "ok"
    found = by_name(queue.check(runs, supervised=False))["queue"]
    assert found.status == "warning"
    assert found.text == "2 runs waiting (1 of another user or machine), 0 at work, no supervisor is at work"
    assert by_name(queue.check(runs, supervised=False, user=os.getuid() + 1))["queue"].status == "ok"


def test_lost_damaged_and_working_runs(tmp_path):
    gone = ProcessIdentity(pid=1, start_time=1.0, host=socket.gethostname(), cwd="/", launched=1.0)
    new_run(tmp_path, "lost-run").write_process(gone)
    at_work, here = new_run(tmp_path, "at-work"), identify()
    assert here is not None
    at_work.write_process(here)
    at_work.settings.write_text("= nonsense")
    runs = queue.read_runs(tmp_path)
    assert queue.trainers(runs) == {os.getpid(): "at-work"}
    found = by_name(queue.check(runs, supervised=False))
    assert found["queue"].text == "0 runs waiting, 1 at work, no supervisor is at work"
    assert found["lost runs"].text == "1 run lost, the trainer ended without a word: lost-run"
    assert found["lost runs"].remedy.endswith("domcli resume lost-run")
    assert "at-work" in found["damaged runs"].text


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm", "COLORTERM": "24bit"}, "truecolor"),
        ({"TERM": "screen-256color"}, "256"),
        ({"TERM": "xterm-direct"}, "truecolor"),
        ({"TERM": "xterm"}, "16"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "256"),
        ({}, "none"),
    ],
)
def test_colours(variables, expected):
    assert terminal.colours(variables) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "en_GB.UTF-8"}, True),
        ({"LANG": "de_DE.utf8@euro"}, True),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "de_DE.UTF-8", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, False),
        ({"LC_ALL": "C.UTF-8"}, True),
        ({"LANG": "en_GB.ISO-8859-1"}, False),
        ({}, False),
    ],
)
def test_utf8(variables, expected):
    assert terminal.is_utf8(variables) is expected


def test_a_good_terminal_and_a_pipe():
    assert {check.status for check in terminal.check(TRUECOLOR, (160, 45))} == {"ok"}
    (only,) = terminal.check({}, None)
    assert (only.status, only.text) == ("ok", "none: the output goes to a pipe or a file")


@pytest.mark.parametrize(
    ("variables", "size", "name"),
    [
        ({"TERM": "dumb"}, (80, 24), "terminal"),
        ({"TERM": "xterm", "COLORTERM": ""}, (80, 24), "colours"),
        ({"LANG": "C"}, (80, 24), "characters"),
        ({}, (79, 24), "size"),
        ({}, (80, 23), "size"),
        ({"STY": "1.pts"}, (80, 24), "screen"),
    ],
)
def test_a_terminal_that_lacks_something(variables, size, name):
    found = by_name(terminal.check({**TRUECOLOR, **variables}, size))
    assert [check.name for check in found.values() if check.status != "ok"] == [name]


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (("256,RGB,title", True), "ok", "passes on"),
        (("256,RGB", False), "ok", "set -g mouse on"),
        (("256,title", True), "warning", "does not pass truecolor on"),
        (None, "ok", "does not say"),
    ],
)
def test_tmux(answer, status, said):
    found = by_name(terminal.check({**TRUECOLOR, "TMUX": "/tmp/tmux-0/default,1,0"}, (80, 24), lambda: answer))["tmux"]
    assert (found.status, said in found.text) == (status, True)


def test_tmux_without_truecolor_is_fine_where_there_is_none():
    variables = {**TRUECOLOR, "COLORTERM": "", "TMUX": "/tmp/tmux-0/default,1,0"}
    assert by_name(terminal.check(variables, (80, 24), lambda: ("256", True)))["tmux"].status == "ok"


def test_python():
    good = software.python((3, 10, 1), True, "/venv")
    assert (good.status, good.text.endswith("3.10.1, 64 bit, virtual environment /venv")) == ("ok", True)
    assert "3.10 or newer" in software.python((3, 9, 9), True, None).remedy
    assert "64-bit" in software.python((3, 12, 0), False, None).remedy


def test_packages():
    needed = {"torch": "99", "rich": "13.7", "numpy": "", "textual": "1.0"}
    versions = {"rich": "13.10.1", "numpy": "2.0", "textual": "1.0.0rc1"}
    assert [check.status for check in software.packages(needed, versions.get)] == ["ok"]
    (wrong,) = software.packages(needed, {"rich": "13.6.9", "textual": "2"}.get)
    assert wrong.text == "missing or too old: rich 13.6.9, numpy is missing"
    assert wrong.remedy.endswith("pip install 'rich>=13.7' numpy")
    assert software.packages({}, versions.get) == []


def test_what_domcli_needs_is_read_from_its_installation():
    needed = software.requirements()
    assert software.is_enough(software.installed_version("pydantic"), needed["pydantic"])
    assert needed["torch"] != ""
    assert "pytest" not in needed


def test_domcli_that_is_not_installed():
    found = software.installation(None)
    assert (found.status, "pip install -e " in found.remedy) == ("warning", True)


def test_where_domcli_is_imported_from(tmp_path):
    source = Path(domcli.__file__).resolve().parents[1]

    class Editable(metadata.PathDistribution):
        def read_text(self, filename: str) -> str | None:
            assert filename == "direct_url.json"
            return json.dumps({"url": Path(self.locate_file("")).as_uri(), "dir_info": {"editable": True}})

    def said(kind, place):
        found = software.installation(kind(place / "domcli.dist-info"))
        assert found.status == "ok"
        return found.text.partition(", ")[2]

    other = tmp_path / "a b"
    for kind in (Editable, metadata.PathDistribution):
        assert said(kind, other) == f"imported from {source}, not from {other}, where it is installed"
    assert said(Editable, source) == f"installed as editable from {source}"
    assert said(metadata.PathDistribution, source) == f"installed in {source}"


def test_an_unexpected_error_is_a_problem_of_that_name():
    def look() -> list[Check]:
        raise ValueError("something\nlong")

    (only,) = guarded("gpu", look)
    assert (only.name, only.status, only.text) == ("gpu", "problem", "could not be checked: ValueError: something")
    assert only.remedy
    assert guarded("one", lambda: Check("one", "ok", "")) == [Check("one", "ok", "")]


def test_plural():
    assert [plural(count, "run") for count in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
