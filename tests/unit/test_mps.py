"""NVIDIA's Multi-Process Service, with a control program that does as the real one does: it listens, answers, quits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fake_mps import install

from domcli.sharing import keeper, mps

HOLDER = """
import sys
from domcli.sharing import mps
with mps.own_service() as service:
    print(service.environment[mps.PIPE], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A fake control program on the path, and a temporary folder and usual pipe directory for this test alone."""
    install(tmp_path / "bin", monkeypatch)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(mps.tempfile, "tempdir", None)
    monkeypatch.setattr(mps, "USUAL_PIPE", tmp_path / "usual")
    monkeypatch.setenv("FAKE_MPS_USUAL", str(tmp_path / "usual"))
    monkeypatch.delenv(mps.PIPE, raising=False)
    monkeypatch.delenv(mps.LOG, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(mps.__file__).parents[2]))
    yield tmp_path
    for pid in daemons(tmp_path):
        os.kill(pid, signal.SIGKILL)


def daemons(folder: Path) -> list[int]:
    """Return the daemons that the tests of a folder have started and that still run."""
    found = [int(line) for line in (folder / "bin" / "started").read_text().split()]
    return [pid for pid in found if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


def until_gone(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while daemons(folder):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_of_its_own_lives_as_long_as_the_block(place, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    with mps.own_service() as service:
        pipe = Path(service.environment[mps.PIPE])
        assert pipe.is_relative_to(place / "tmp")
        assert Path(service.environment[mps.LOG]).parent == pipe.parent
        assert len(daemons(place)) == 1
        assert mps.answers({**os.environ, **service.environment})
        assert service.servers() == []
        (pipe / "servers").write_text("17\n23\n")
        assert service.servers() == [17, 23]
        assert (pipe / "visible").read_text() == "GPU-a"
        assert service.last_words() == " (control.log: listening)"
    assert daemons(place) == []
    assert list((place / "tmp").iterdir()) == []


def test_it_is_not_the_service_of_others(place):
    with mps.own_service():
        assert not mps.answers()


def test_a_daemon_of_somebody_is_seen_and_left_alone(place, monkeypatch):
    environment = {**os.environ, mps.PIPE: str(place / "usual")}
    (place / "usual").mkdir()
    subprocess.run([place / "bin" / mps.PROGRAM, "-d"], env=environment, check=True, timeout=30)
    assert mps.answers()
    (theirs,) = daemons(place)
    with mps.own_service():
        assert len(daemons(place)) == 2
    assert daemons(place) == [theirs]
    monkeypatch.setenv(mps.PIPE, str(place / "elsewhere"))
    assert not mps.answers()
    monkeypatch.setenv(mps.PIPE, str(place / "usual"))
    assert mps.answers()


def test_a_folder_that_a_daemon_has_left_does_not_answer(place):
    (place / "usual").mkdir()
    (place / "usual" / "control").touch()
    assert not mps.answers()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_ends_however_its_owner_ends(place, number):
    owner = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline().strip().endswith("/pipe")
    assert len(daemons(place)) == 1
    owner.send_signal(number)
    owner.communicate(timeout=30)
    until_gone(place)


def test_a_daemon_that_does_not_quit_is_killed_with_its_servers(place, monkeypatch):
    monkeypatch.setenv("FAKE_MPS", "deaf")
    monkeypatch.setattr(keeper, "QUIT_SECONDS", 0.3)
    folder = place / "tmp" / "own"
    for name in ("pipe", "log"):
        (folder / name).mkdir(parents=True)
    environment = {**os.environ, **mps.service_environment(folder)}
    subprocess.run([place / "bin" / mps.PROGRAM, "-d"], env=environment, check=True, timeout=30)
    assert len(daemons(place)) == 2
    keeper._end(folder, environment)
    until_gone(place)


def test_numbers_of_gpus_are_not_handed_to_the_daemon(place, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with mps.own_service() as service:
        assert Path(service.environment[mps.PIPE], "visible").read_text() == "all"


def test_one_that_cannot_be_started_says_why(place, monkeypatch):
    monkeypatch.setenv("FAKE_MPS", "refuses")
    sentence = f"^{mps.PROGRAM} -d ended with exit code 3: this machine cannot$"
    with pytest.raises(mps.MpsError, match=sentence), mps.own_service():
        pass
    assert daemons(place) == []
    assert list((place / "tmp").iterdir()) == []


def test_one_that_never_answers_is_given_up(place, monkeypatch):
    monkeypatch.setenv("FAKE_MPS", "mute")
    monkeypatch.setattr(keeper, "START_SECONDS", 2.0)
    (place / "own").mkdir()
    environment = {**os.environ, **mps.service_environment(place / "own")}
    assert keeper._start(place / "own", environment) == f"{mps.PROGRAM} -d does not answer"


def test_without_the_program_there_is_none(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place))
    assert mps.program() is None
    assert not mps.answers()
    with pytest.raises(mps.MpsError, match=f"^{mps.PROGRAM} is not found$"), mps.own_service():
        pass


def test_an_error_inside_the_block_comes_out_as_it_is(place):
    with pytest.raises(BrokenPipeError), mps.own_service():
        raise BrokenPipeError
    assert daemons(place) == []
