"""Launching without the command line: preflight, names, start, stop, resume."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import msgspec
import pytest
from run_directories import created, started

from domcli import naming, process, rundir
from domcli.devices import CPU, Device
from domcli.errors import DataError, ProcessError, StorageError
from domcli.launch import access, local, prepare
from domcli.launch.access import wait_stopped
from domcli.launch.placement import Placement
from domcli.launch.prepare import checkpoint_bytes
from domcli.rundir import RunDirectory
from domcli.settings import Settings

LET_IN = "import signal; signal.pthread_sigmask(signal.SIG_UNBLOCK, [15, 2]);"
SLEEPER = (sys.executable, "-c", LET_IN + "import time; time.sleep(600)")
REPORTER = (
    sys.executable,
    "-c",
    "import os, sys; print(sys.argv[1:-2], os.getcwd(), os.environ['PYTHONUNBUFFERED'],"
    " os.getsid(0) == os.getpid(), sys.stdin.read() == '', file=sys.stderr)",
)
VARIABLES = (
    sys.executable,
    "-c",
    "import os, sys; sys.stderr.write(' '.join(os.environ.get(name, 'none') for name in"
    " ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')))",
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return created(tmp_path / "runs", Settings(), command="domcli run pgd-dom-re")


@pytest.fixture
def sleeper(run: RunDirectory):
    """A run with a trainer that goes on for ever."""
    trainer = started(run, command=SLEEPER)
    yield trainer
    trainer.kill()
    trainer.wait()


def settings(**tables: dict[str, object]) -> Settings:
    return Settings.model_validate(tables)


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12 - count, count))


@pytest.mark.parametrize("preset", ["", "..", "-x", "é", "a" * 500, "a/b"])
def test_default_names_are_always_allowed(preset):
    assert rundir.NAME.fullmatch(naming.default_name(preset, 2**32 - 1, quick=True))


def test_environment_says_what_ran(run):
    environment = run.read_environment()
    assert environment["command_line"] == "domcli run pgd-dom-re"
    assert environment["preset"] == "pgd-dom-re"
    assert environment["hostname"] == socket.gethostname()
    assert environment["python"] == sys.version.split()[0]
    assert environment["torch"]
    assert "git_commit" in environment


def test_checkpoints_are_estimated_from_the_network():
    weights = 11_172_170 * 4
    assert checkpoint_bytes(settings(checkpoint={"every": 0})) == pytest.approx(5 * weights + 1e6)
    assert checkpoint_bytes(settings(checkpoint={"every": 10})) == pytest.approx(25 * weights + 1e6)
    narrow = settings(model={"width": 16}, checkpoint={"every": 0})
    assert checkpoint_bytes(narrow) == pytest.approx(5 * weights / 16 + 1e6, rel=0.01)
    assert checkpoint_bytes(settings(model={"name": "wideresnet34-10"})) > 4 * checkpoint_bytes(Settings())


def test_a_disk_that_is_too_small_is_refused_with_both_sizes(tmp_path, monkeypatch):
    free(monkeypatch, 700_000_000)
    with pytest.raises(StorageError, match=r"needs about 1\.1 GB .* has 700 MB free.*checkpoint\.every=0"):
        created(tmp_path / "runs", Settings())
    assert list(tmp_path.iterdir()) == []
    prepare.preflight([settings(checkpoint={"every": 0})], tmp_path)
    with pytest.raises(
        StorageError,
        match=r"these 4 runs need about 898 MB [^,]*, and [^,]*; free some space or choose another --runs-dir$",
    ):
        prepare.preflight([settings(checkpoint={"every": 0})] * 4, tmp_path)


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(StorageError, match=f"{tmp_path} is not writable"):
        prepare.preflight([Settings()], tmp_path / "runs")


def test_image_folders_are_looked_at(tmp_path):
    folder = settings(data={"dataset": "imagefolder", "root": str(tmp_path / "images")})
    with pytest.raises(DataError, match="there is no folder"):
        prepare.preflight([folder], tmp_path)
    for name in ("train/a", "train/b", "val/a"):
        (tmp_path / "images" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="the same class folders"):
        prepare.preflight([folder], tmp_path)
    (tmp_path / "images" / "val" / "b").mkdir()
    prepare.preflight([folder], tmp_path)


def test_a_trainer_gets_a_session_of_its_own_and_the_log(run, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    run.log.write_text("before\n")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    started(run, Placement(Device("cuda:1"), "cuda:1", folder), command=REPORTER).wait()
    arguments = [str(run.path), "--device", "cuda:1"]
    assert run.log.read_text() == f"before\n{arguments} {folder} 1 True True\n"


@pytest.mark.parametrize(
    ("placement", "arguments"),
    [
        (Placement(), ["--device", "auto"]),
        (Placement(CPU, "cpu"), ["--device", "cpu"]),
        (Placement(Device("cuda"), "cuda"), ["--device", "cuda"]),
        (Placement(Device("cuda:2", "GPU-x"), "cuda:2"), ["--device", "cuda", "--shown-as", "cuda:2"]),
        (Placement(Device("cuda:2", "GPU-x"), "auto"), ["--device", "auto", "--shown-as", "cuda:2"]),
    ],
)
def test_a_trainer_is_told_its_device(placement, arguments):
    assert placement.arguments() == arguments


def test_a_trainer_sees_its_gpu_alone_and_its_share_of_the_cores(run, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    started(run, Placement(Device("cuda:2", "GPU-x"), threads=3), command=VARIABLES).wait()
    assert run.log.read_text() == "GPU-x 3"
    run.log.unlink()
    started(run, Placement(), command=VARIABLES).wait()
    assert run.log.read_text() == "none none"


def test_process_json_identifies_the_trainer(run, sleeper):
    identity = run.read_process()
    assert identity.pid == sleeper.pid
    assert process.liveness(identity) == "alive"
    assert identity.launched >= identity.start_time - process.START_TOLERANCE
    assert identity.cwd == str(Path.cwd())
    assert identity.device == "cpu"


def test_how_a_trainer_ended_is_noted_if_it_is_still_the_last_one(run, sleeper):
    access.record_exit(run, sleeper.pid + 1, -9)
    assert run.read_process().exit_code is None
    access.record_exit(run, sleeper.pid, -9)
    assert run.read_process().exit_code == -9


def test_a_second_trainer_is_refused(run, sleeper):
    with pytest.raises(ProcessError, match=f"already has a trainer \\(process {sleeper.pid}\\); stop it first"):
        started(run, command=SLEEPER)


def test_the_lock_lives_and_dies_with_the_trainer(run, sleeper):
    run.process.unlink()
    with pytest.raises(ProcessError, match="started by hand or on another machine"):
        started(run, command=SLEEPER)
    sleeper.kill()
    sleeper.wait()
    other = started(run, command=SLEEPER)
    other.kill()
    other.wait()


def test_a_signal_that_comes_before_a_trainer_can_heed_it_is_not_lost(run):
    slow = "import time; time.sleep(0.5); print('ready', flush=True);" + LET_IN + "time.sleep(600)"
    trainer = started(run, command=(sys.executable, "-c", slow))
    wait_stopped(run, local.stop(run))
    assert trainer.wait() == -signal.SIGTERM
    assert run.log.read_text() == "ready\n"


def test_a_run_of_another_host_is_left_alone(run):
    identity = process.identify()
    run.write_process(msgspec.structs.replace(identity, host="other-host"))
    with pytest.raises(ProcessError, match="launched on other-host and may still run there"):
        started(run, command=SLEEPER)
    with pytest.raises(ProcessError, match="stop it there"):
        wait_stopped(run, local.stop(run))


def test_a_recycled_pid_is_never_signalled(run):
    own = process.identify()
    run.write_process(msgspec.structs.replace(own, birth="another"))
    with pytest.raises(ProcessError, match="no trainer to stop"):
        local.kill(run)


def test_stop_ends_the_trainer(run, sleeper):
    wait_stopped(run, local.stop(run))
    assert sleeper.wait() == -signal.SIGTERM


def test_kill_ends_the_trainer(run, sleeper):
    local.kill(run)
    assert sleeper.wait() == -signal.SIGKILL


def test_a_trainer_that_does_not_stop_is_told(run):
    ignoring = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(600)"
    trainer = started(run, command=(sys.executable, "-c", ignoring))
    while "ready" not in run.log.read_text():
        assert trainer.poll() is None
    try:
        with pytest.raises(ProcessError, match="has not stopped within 0 s; kill it with domcli kill"):
            wait_stopped(run, local.stop(run), timeout=0)
    finally:
        trainer.kill()
        trainer.wait()


def test_a_run_that_was_never_launched_cannot_be_stopped(run):
    with pytest.raises(ProcessError, match="has no trainer to stop: it is lost"):
        wait_stopped(run, local.stop(run))


def test_a_trainer_that_cannot_start_is_one_sentence(run):
    with pytest.raises(ProcessError, match="cannot start the trainer"):
        started(run, command=("/nonexistent/python",))


def test_a_trainer_whose_identity_cannot_be_written_is_not_left_alone(run, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    identities = []
    monkeypatch.setattr(RunDirectory, "write_process", full)
    original = process.identify
    monkeypatch.setattr(process, "identify", lambda pid: identities.append(original(pid)) or identities[0])
    with pytest.raises(StorageError, match="No space left"):
        started(run, command=SLEEPER)
    assert process.liveness(identities[0]) == "gone"
