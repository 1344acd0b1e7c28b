"""After a broken recording a trainer starts anew without graphs: same process, same run, same numbers."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch
from trainer_with_broken_recording import WHY

from domcli.events import Finished, Started, Stopped
from domcli.rundir import RunDirectory

SCRIPT = Path(__file__).with_name("trainer_with_broken_recording.py")


def start(run: RunDirectory, ready: Path, *, lock: int | None = None, device: str = "cpu") -> subprocess.Popen[bytes]:
    given = [] if lock is None else ["--lock", str(lock)]
    command = [sys.executable, str(SCRIPT), str(ready), str(run.path), "--device", device, *given]
    with run.log.open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, pass_fds=[] if lock is None else [lock])


def wait_for_lock(run: RunDirectory) -> None:
    """Wait until nobody holds the run's lock, which a trainer gives back with its last breath."""
    deadline = time.monotonic() + 240
    with run.lock.open("r+") as file:
        while not taken(file.fileno()):
            assert time.monotonic() < deadline, run.log.read_text()
            time.sleep(0.01)


def taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_the_run_goes_on_without_graphs_and_says_why(tmp_path: Path) -> None:
    undisturbed, run = (tiny.make_run(tmp_path, "pgd-dom-re", name=name) for name in ("undisturbed", "run"))
    tiny.finish(undisturbed)
    process = start(run, tmp_path / "none")
    assert process.wait(timeout=240) == 0, run.log.read_text()
    events = tiny.events(run)
    assert isinstance(events[-1], Finished)
    assert len(tiny.of_kind(events, Started)) == 2
    assert tiny.lasting(run) == tiny.lasting(undisturbed)
    assert run.read_environment()["no_graphs"] == WHY
    assert f"({WHY}); the trainer starts anew, without graphs" in run.log.read_text()
    launched = run.read_process()
    assert launched is not None
    assert launched.pid == process.pid


def test_locks_stay_held_and_a_request_to_stop_is_heeded_by_the_new_trainer(tmp_path: Path) -> None:
    run, ready = tiny.make_run(tmp_path, "pgd-dom-re"), tmp_path / "ready"
    os.mkfifo(ready)
    lock = os.open(run.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = start(run, ready, lock=lock)
    os.close(lock)
    with ready.open() as reader:
        process.send_signal(signal.SIGTERM)  # before the recording breaks off
        reader.read()
    wait_for_lock(run)
    stopped = tiny.events(run)[-1]
    assert isinstance(stopped, Stopped)
    assert "SIGTERM" in stopped.reason
    assert "the trainer starts anew" in run.log.read_text()
    assert process.wait(timeout=60) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("how", "starts"), [("broken", 2), ("refused", 1)])
def test_a_recording_that_really_fails(tmp_path: Path, how: str, starts: int) -> None:
    run = tiny.make_run(tmp_path, "pgd-dom-re")
    assert start(run, tmp_path / how, device="cuda").wait(timeout=240) == 0, run.log.read_text()
    events, environment, log = tiny.events(run), run.read_environment(), run.log.read_text()
    assert isinstance(events[-1], Finished), log
    assert "captur" in environment["no_graphs"], log
    assert environment["steps"] == "one operation at a time", log
    assert len(tiny.of_kind(events, Started)) == starts, log
