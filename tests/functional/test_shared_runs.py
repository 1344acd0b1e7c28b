"""Two users and one runs directory: who can do what, and what one cannot make the other's commands do."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from at_work import supervisors
from conftest import FAKE_CLI
from two_users import CAPABILITY_VERSION, GROUP, Data, Header, User, become, people

import domcli
from domcli import files, process
from domcli.devices import CPU
from domcli.errors import StorageError
from domcli.launch import queue
from domcli.rundir import RunDirectory
from domcli.runs import read_run

__all__ = ["people"]
Until = Callable[[Callable[[], object]], None]
NAME = "pgd-dom-re-quick-seed0"
RUN = ("run", "pgd-dom-re", "--quick", "--detach")


class Shared:
    """What the two do there."""

    def __init__(self, people: tuple[User, User], until: Until) -> None:
        self.alice, self.bob = people
        self.runs = self.alice.runs
        self.until = until
        self.host = self.runs / ".domcli" / socket.gethostname()

    def domcli(self, user: User, *arguments: str, scenario: str = "finish", **options: Any) -> Any:
        (user.home / "scenario").write_text(scenario)
        variables = {
            "FAKE_SCENARIO": str(user.home / "scenario"),
            "DOMCLI_RUNS_DIR": str(self.runs),
            "PYTHONPATH": str(Path(domcli.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return user.calls(sys.executable, str(FAKE_CLI), *arguments, **variables, **options)

    def run(self, user: User, *more: str, scenario: str = "finish", wanted: str = "finished", **options: Any) -> Path:
        """Have a run of a user's come to an end, and return its directory."""
        before = set(self.runs.iterdir())
        done = self.domcli(user, *RUN, *more, scenario=scenario, **options)
        assert done.returncode == 0, done.stderr
        (new,) = (path for path in set(self.runs.iterdir()) - before if not path.name.startswith("."))
        self.until(lambda: read_run(RunDirectory(new)).status == wanted and not supervisors(self.runs))
        return new

    def has_given_up(self, user: User) -> bool:
        """Tell whether nobody advances the queue, or who does has found that it cannot lock what it must."""
        log = self.runs / ".domcli" / socket.gethostname() / f"supervisor-{user.uid}.log"
        refused = not log.is_symlink() and log.exists() and "Too many levels of symbolic links" in log.read_text()
        return refused or not supervisors(self.runs)

    def end(self) -> None:
        for ticket in self.runs.rglob("queue.json"):
            ticket.unlink(missing_ok=True)
        for supervisor in supervisors(self.runs):
            supervisor.kill()
        self.until(lambda: not supervisors(self.runs))

    def seen_by(self, user: User) -> dict[str, str]:
        done = self.domcli(user, "runs", "--json")
        assert done.returncode == 0, done.stderr
        return {row["name"]: row["state"] for row in json.loads(done.stdout)}


@pytest.fixture
def shared(people: tuple[User, User], until: Until) -> Iterator[Shared]:
    shared = Shared(people, until)
    yield shared
    shared.end()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def everything(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def test_a_group_shares_a_runs_directory(shared: Shared) -> None:
    first, second = shared.run(shared.alice), shared.run(shared.bob)
    assert [path.stat().st_uid for path in (first, second)] == [shared.alice.uid, shared.bob.uid]
    expected = {NAME: "finished", f"{NAME}-2": "finished"}
    assert shared.seen_by(shared.alice) == shared.seen_by(shared.bob) == expected
    assert {path.stat().st_gid for path in (*everything(first), *everything(shared.runs / ".domcli"))} == {GROUP}


@pytest.mark.parametrize(("umask", "folders", "others"), [(0o002, 0o2775, 0o664), (0o022, 0o2755, 0o644)])
def test_what_is_made_follows_the_umask(shared: Shared, umask: int, folders: int, others: int) -> None:
    run = shared.run(shared.alice, umask=umask)
    lock = shared.host / f"supervisor-{shared.alice.uid}.lock"  # who could open it, could lock it
    for path in (*everything(run), *everything(shared.runs / ".domcli")):
        # Nobody else may ever write what says which process is meant.
        own = {lock: 0o600, run / "process.json": others & 0o755}
        wanted = folders if path.is_dir() else own.get(path, others)
        assert mode(path) == wanted, path


def test_what_is_private_stays_so(shared: Shared) -> None:
    run = shared.run(shared.alice, umask=0o077)
    assert {mode(path) & 0o077 for path in everything(run)} == {0}


def test_who_is_shut_out_of_a_shared_folder_is_told_of_the_umask(shared: Shared) -> None:
    shared.run(shared.alice, umask=0o022)
    done = shared.domcli(shared.bob, *RUN)
    assert done.returncode == 2
    assert "Permission denied" in done.stderr
    assert "needs umask 002" in done.stderr
    assert shared.seen_by(shared.bob) == {NAME: "finished"}


def test_only_its_owner_can_change_a_run(shared: Shared) -> None:
    waiting = shared.run(shared.alice, scenario="fail", wanted="failed")
    before = {path: path.stat().st_mtime_ns for path in everything(waiting)}
    for command in ("resume", "delete --yes", "evaluate"):
        name, *options = command.split()
        done = shared.domcli(shared.bob, name, NAME, *options)
        assert done.returncode == 2, command
        assert f"{NAME} belongs to {shared.alice.name}: only {shared.alice.name} can {name} it" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in everything(waiting)} == before
    assert shared.domcli(shared.alice, "delete", NAME, "--yes").returncode == 0
    assert not waiting.exists()


def test_only_its_owner_can_stop_a_run(shared: Shared) -> None:
    assert shared.domcli(shared.alice, *RUN, scenario="wait").returncode == 0
    run = RunDirectory(shared.runs / NAME)
    shared.until(lambda: read_run(run).status == "running" and read_run(run).state.epochs_done == 1)
    for command in ("stop", "kill"):
        done = shared.domcli(shared.bob, command, NAME)
        assert done.returncode == 2
        assert f"only {shared.alice.name} can {command} it" in done.stderr
    assert read_run(run).status == "running"
    assert shared.domcli(shared.alice, "stop", NAME).returncode == 0
    assert read_run(run).status == "stopped"


def test_no_planted_link_is_followed_where_launchers_meet(shared: Shared) -> None:
    alice = shared.alice
    profile = alice.home / "profile"
    alice.does(lambda: profile.write_text("export PATH"))
    before = mode(profile)
    shared.run(shared.bob)
    for name in (f"supervisor-{alice.uid}.lock", f"supervisor-{alice.uid}.log", "slots.lock", "slot-cpu-0.lock"):
        for target in ("profile", "absent"):
            planted = shared.runs / ".domcli" / socket.gethostname() / name
            shared.bob.does(lambda planted=planted, target=target: plant(planted, alice.home / target))
            shared.domcli(alice, *RUN)
            shared.until(lambda: shared.has_given_up(alice))
            shared.end()
            assert (profile.read_text(), mode(profile)) == ("export PATH", before), name
            assert not (alice.home / "absent").exists(), name
            planted.unlink()


def test_where_nothing_can_be_queued_no_run_is_made(shared: Shared) -> None:
    elsewhere = shared.alice.home / "elsewhere"
    shared.alice.does(elsewhere.mkdir)
    shared.bob.does(lambda: (shared.runs / ".domcli").symlink_to(elsewhere))
    done = shared.domcli(shared.alice, *RUN)
    assert done.returncode == 2
    assert f"{shared.runs}/.domcli is a link, not a folder" in done.stderr
    assert [path.name for path in shared.runs.iterdir()] == [".domcli"]
    assert list(elsewhere.iterdir()) == []


@contextlib.contextmanager
def locked(user: User, path: Path) -> Iterator[int]:
    """Have a user keep a file locked, made if it is not there; yield the process that does."""
    code = "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666); "
    code += "fcntl.flock(f, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: become(user.uid, 0o002),
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        yield child.pid
    finally:
        child.kill()
        child.communicate()


def test_a_supervisors_lock_that_somebody_else_holds_is_told_of_before_a_run_is_made(shared: Shared) -> None:
    """The file is there from before locks were private: who has opened it then can still lock it."""
    lock = shared.host / f"supervisor-{shared.alice.uid}.lock"
    shared.run(shared.alice)
    lock.chmod(0o664)
    with locked(shared.bob, lock) as holder:
        done = shared.domcli(shared.alice, *RUN)
        assert done.returncode == 2
        said = f"the queue cannot be advanced: process {holder} of {shared.bob.name} keeps {lock} locked"
        assert said in done.stderr
        assert shared.seen_by(shared.alice) == {NAME: "finished"}
    shared.run(shared.alice)
    assert mode(lock) == 0o600


def test_who_keeps_others_from_choosing_a_slot_is_told(shared: Shared) -> None:
    shared.run(shared.alice)
    log = shared.host / f"supervisor-{shared.alice.uid}.log"
    with locked(shared.bob, shared.host / "slots.lock") as holder:
        assert shared.domcli(shared.alice, *RUN).returncode == 0
        said = f"slots.lock: process {holder} of {shared.bob.name} keeps it locked"
        shared.until(lambda: said in log.read_text())
    shared.until(lambda: read_run(RunDirectory(shared.runs / f"{NAME}-2")).status == "finished")


def test_no_planted_link_is_followed_in_a_run(shared: Shared) -> None:
    alice = shared.alice
    profile = alice.home / "profile"
    alice.does(lambda: profile.write_text("export PATH"))
    before = mode(profile)
    run = shared.run(alice, scenario="fail", wanted="failed")
    for name in ("trainer.log", "trainer.lock", ".reserve", "events.jsonl", "process.json"):
        (run / name).rename(run / "real")
        for target in ("profile", "absent"):
            shared.bob.does(lambda name=name, target=target: plant(run / name, alice.home / target))
            for command in (("resume", "--detach"), ("logs",)):
                shared.domcli(alice, command[0], NAME, *command[1:])
            shared.until(lambda: not supervisors(shared.runs))
            assert (profile.read_text(), mode(profile)) == ("export PATH", before), name
            assert not (alice.home / "absent").exists(), name
            (run / name).unlink()
        (run / "real").rename(run / name)


@pytest.mark.parametrize(("swapped", "umask"), [("", 0o022), ("checkpoints", 0o002)])
def test_what_is_put_in_place_of_a_folder_at_work_is_not_written_to(shared: Shared, swapped: str, umask: int) -> None:
    """Who may write in the runs directory may rename what is in it, also a folder in which they may not write."""
    run = RunDirectory(shared.run(shared.alice, umask=umask))
    models = shared.alice.home / "models"

    def keep() -> None:
        for folder in (models, models / "checkpoints"):
            folder.mkdir()
            for name in ("environment.json", "best.safetensors"):
                (folder / name).write_text("precious")

    def swap() -> None:
        (run.path / swapped).rename(shared.runs / "away")
        (run.path / swapped).symlink_to(models)

    def work() -> None:
        with run.pinned("train"):
            os.write(asked[1], b"x")
            os.read(answered[0], 1)
            for path in (run.checkpoint("best"), *([] if swapped else [run.environment])):
                with pytest.raises(OSError, match=r"another folder in its place|Not a directory|Too many levels"):
                    files.replace_text(path, "new")

    shared.alice.does(keep, umask)
    before = {path: path.read_text() for path in models.rglob("*.*")}
    asked, answered = os.pipe(), os.pipe()
    swapper = threading.Thread(
        target=lambda: (os.read(asked[0], 1), shared.bob.does(swap), os.write(answered[1], b"x"))
    )
    swapper.start()
    try:
        shared.alice.does(work, umask)
    finally:
        os.write(asked[1], b"x")  # also if it has never come so far
        swapper.join()
        for handle in (*asked, *answered):
            os.close(handle)
    assert (run.path / swapped).is_symlink()
    assert {path: path.read_text() for path in models.rglob("*.*")} == before


def plant(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_a_planted_ticket_launches_nothing(shared: Shared) -> None:
    """A whole run, made by somebody else, with a ticket in the name of the victim and code where it would begin."""
    mark = shared.bob.home / "executed"
    planted, folder = shared.runs / "planted", shared.bob.home / "code"
    shared.run(shared.bob, "--name", "planted", scenario="fail", wanted="failed")
    code = f"open({str(mark)!r}, 'w').write('executed')\n"

    def plant() -> None:
        folder.mkdir()
        for name in ("random.py", "json.py", "domcli.py", "torch.py", "sitecustomize.py"):
            (folder / name).write_text(code)
        ticket = queue.new_ticket((CPU,), "cpu")
        ticket = msgspec.structs.replace(ticket, owner=shared.alice.uid, folder=str(folder))
        RunDirectory(planted).write_ticket(ticket)

    shared.bob.does(plant)
    for command in ("runs", "show planted", "follow planted", "retry"):
        shared.domcli(shared.alice, *command.split())
    assert supervisors(shared.runs) == []
    assert not mark.exists()
    assert shared.seen_by(shared.alice) == {"planted": "failed"}


def test_what_a_process_file_says_counts_only_if_nobody_else_can_have_written_it(shared: Shared) -> None:
    """Somebody else of the group puts another process of the victim's into the run, and a ticket."""
    run = RunDirectory(shared.run(shared.alice, scenario="fail", wanted="failed"))
    bystander = subprocess.Popen(["sleep", "600"], preexec_fn=lambda: become(shared.alice.uid, 0o002))
    try:
        meant = process.identify(bystander.pid)
        assert meant is not None
        meant = msgspec.structs.replace(meant, directory=run.path.stat().st_ino)
        ticket = msgspec.structs.replace(
            queue.new_ticket((CPU,), "cpu"), owner=shared.alice.uid, directory=run.path.stat().st_ino
        )

        def plant() -> None:
            with pytest.raises(PermissionError):
                run.process.open("r+")
            run.process.unlink()
            # Files of the victim's to which the group may write, under the names that count.
            for path, said, taken in ((run.process, meant, run.events), (run.ticket, ticket, run.settings)):
                taken.rename(path)
                with path.open("r+b") as file:
                    file.truncate()
                    file.write(msgspec.json.encode(said))

        for name in ("events.jsonl", "settings.toml"):
            shutil.copy2(run.path / name, run.path / f"{name}.kept")
        shared.bob.does(plant)
        for command in ("stop", "kill", "runs", "follow", "retry"):
            shared.domcli(shared.alice, command, *([] if command in ("runs", "retry") else [NAME]))
        assert bystander.poll() is None
        assert supervisors(shared.runs) == []
    finally:
        bystander.kill()
        bystander.wait()


def test_somebody_elses_link_to_a_run_is_not_ones_run(shared: Shared) -> None:
    private = shared.alice.home / "private"
    done = shared.domcli(shared.alice, *RUN, "--runs-dir", str(private), scenario="crash")
    assert done.returncode == 0, done.stderr
    mine = RunDirectory(private / NAME)
    shared.until(lambda: read_run(mine).status == "lost" and not supervisors(private))
    shared.bob.does(lambda: (shared.runs / "planted").symlink_to(mine.path))
    for command in ("resume planted --detach", "delete planted --yes", "stop planted", "retry --detach"):
        done = shared.domcli(shared.alice, *command.split())
        assert done.returncode == 2, command
        assert f"planted belongs to {shared.bob.name}" in done.stderr, command
    assert read_run(mine).status == "lost"
    shared.alice.does(lambda: (shared.runs / "own").symlink_to(mine.path))
    assert shared.domcli(shared.alice, "resume", "own", "--detach").returncode == 0
    shared.until(lambda: read_run(mine).status == "finished")


def test_results_do_not_go_through_somebody_elses_link(shared: Shared) -> None:
    profile = shared.alice.home / "profile"
    shared.alice.does(lambda: profile.write_text("export PATH"))
    shared.run(shared.alice)
    shared.bob.does(lambda: (shared.runs / "epochs.csv").symlink_to(profile))
    shared.bob.does(lambda: (shared.runs / "figures").symlink_to(shared.alice.home))
    for target in ("epochs.csv", "figures/epochs.csv"):
        done = shared.domcli(shared.alice, "export", NAME, "--csv", target, cwd=shared.runs)
        assert done.returncode == 2
        assert f"Goes through a link of {shared.bob.name}'s" in done.stderr
    assert profile.read_text() == "export PATH"
    assert not (shared.alice.home / "epochs.csv").exists()
    shared.alice.does(lambda: (shared.alice.home / "own.csv").symlink_to(profile))
    assert shared.domcli(shared.alice, "export", NAME, "--csv", "own.csv").returncode == 0
    assert profile.read_text().startswith("run,")


def test_no_name_and_no_reason_looks_like_another_sentence(shared: Shared) -> None:
    """Folders may be called anything, and streams may say anything."""
    run = shared.run(shared.alice)
    name = "new\nerror: line"

    def forge() -> None:
        shutil.copytree(run, shared.runs / name)
        forged = {"kind": "failed", "seq": 999, "time": 1e9, "cause": "error", "reason": "red\nerror: line"}
        with (shared.runs / name / "events.jsonl").open("a") as events:
            events.write(json.dumps(forged) + "\n")

    shared.bob.does(forge)
    for command in ("follow", "stop", "kill", "resume", "delete --yes", "evaluate", "logs", "show"):
        verb, *options = command.split()
        for named in (name, "new*"):
            done = shared.domcli(shared.alice, verb, named, *options)
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: line")]
            assert said == [], command
            assert "Traceback" not in done.stderr


def test_nobody_is_resumed_by_what_somebody_else_has_written(shared: Shared) -> None:
    run = shared.run(shared.alice, scenario="fail", wanted="failed")

    def plant() -> None:
        text = (run / "settings.toml").read_text()
        (run / "settings.toml").unlink()
        (run / "settings.toml").write_text(text)

    shared.bob.does(plant)
    done = shared.domcli(shared.alice, "resume", NAME, "--detach")
    assert done.returncode == 2
    assert f"settings.toml belongs to {shared.bob.name}, and the run to {shared.alice.name}" in done.stderr


def test_a_run_in_which_somebody_else_keeps_a_folder_is_not_half_deleted(shared: Shared) -> None:
    run = shared.run(shared.alice)

    def put() -> None:
        (run / "notes").mkdir(mode=0o755)
        (run / "notes" / "note").write_text("bob's")

    shared.bob.does(put)
    (run / "notes").chmod(0o2755)
    before = set(everything(run))
    done = shared.domcli(shared.alice, "delete", NAME, "--yes")
    assert done.returncode == 2
    assert f"{run}/notes belongs to {shared.bob.name}" in done.stderr
    assert "nothing was deleted" in done.stderr
    assert set(everything(run)) == before


def test_a_run_with_a_folder_that_its_owner_may_not_look_into_is_not_half_deleted(shared: Shared) -> None:
    run = shared.run(shared.alice)

    def put() -> None:
        (run / "notes").mkdir()
        (run / "notes" / "note").write_text("bob's")
        (run / "notes").chmod(0o700)

    def delete() -> None:
        give_up_reading()
        with pytest.raises(StorageError, match=f"{run}/notes belongs to {shared.bob.name}, who alone may remove"):
            queue.delete(RunDirectory(run))

    shared.bob.does(put)
    before = set(everything(run))
    shared.alice.does(delete)
    assert set(everything(run)) == before
    assert set(shared.runs.iterdir()) == {run, shared.runs / ".domcli"}


def give_up_reading() -> None:
    """Let the modes of folders count for reading, too."""
    header, data = Header(CAPABILITY_VERSION, 0), (Data * 2)()
    assert ctypes.CDLL(None).capset(ctypes.byref(header), data) == 0


def test_a_run_into_which_somebody_keeps_putting_files_is_deleted(shared: Shared) -> None:
    run = shared.run(shared.alice)
    child = os.fork()
    if child == 0:
        become(shared.bob.uid, 0o002)
        folder = os.open(run / "checkpoints", os.O_RDONLY)  # however the run is called
        with contextlib.suppress(OSError):
            for number in itertools.count():
                os.close(os.open(f"x{number}", os.O_CREAT | os.O_WRONLY, 0o666, dir_fd=folder))
        os._exit(0)
    try:
        shared.until(lambda: (run / "checkpoints" / "x9").exists())
        done = shared.domcli(shared.alice, "delete", NAME, "--yes")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (done.returncode, done.stderr) == (0, "deleted 1 run\n")
    assert list(shared.runs.iterdir()) == [shared.runs / ".domcli"]


def test_a_copy_of_somebody_elses_run_is_ones_own(shared: Shared) -> None:
    run = shared.run(shared.alice, scenario="fail", wanted="failed")
    shared.bob.does(lambda: shutil.copytree(run, shared.runs / "copy"))
    done = shared.domcli(shared.bob, "resume", "copy", "--detach")
    assert done.returncode == 0, done.stderr
    copy = RunDirectory(shared.runs / "copy")
    shared.until(lambda: read_run(copy).status == "finished")
    assert read_run(RunDirectory(run)).status == "failed"
