from __future__ import annotations

import os
import signal as signals
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from domcli.errors import ProcessError
from domcli.process import START_TOLERANCE, ProcessIdentity, identify, liveness, signal

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def identity_of(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    identity = identify(process.pid)
    assert identity is not None
    return identity


def test_this_process_is_alive() -> None:
    identity = identify()
    assert identity is not None
    assert identity.pid == os.getpid()
    assert identity.host == socket.gethostname()
    assert identity.cwd == str(Path.cwd())
    assert 0 < identity.start_time <= time.time() + START_TOLERANCE
    assert liveness(identity) == "alive"


def test_a_child_is_alive_until_it_ends(child: subprocess.Popen[bytes]) -> None:
    identity = identity_of(child)
    assert liveness(identity) == "alive"
    child.kill()
    child.wait()
    assert liveness(identity) == "gone"
    assert identify(child.pid) is None


def test_a_zombie_is_gone(child: subprocess.Popen[bytes]) -> None:
    identity = identity_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert liveness(identity) == "gone"


@pytest.mark.parametrize(("seconds", "expected"), [(-3600.0, "gone"), (3.0, "gone"), (1.0, "alive"), (-1.0, "alive")])
def test_a_process_with_another_start_time_is_another(seconds: float, expected: str) -> None:
    identity = identify()
    assert identity is not None
    unsure = msgspec.structs.replace(identity, start_time=identity.start_time + seconds, birth="")
    assert liveness(unsure) == expected


def test_a_process_born_at_another_moment_is_another(child: subprocess.Popen[bytes]) -> None:
    other, own = identity_of(child), identify()
    assert own is not None
    assert liveness(msgspec.structs.replace(own, pid=other.pid, start_time=other.start_time)) == "gone"
    boot, _, ticks = own.birth.partition("/")
    assert int(ticks) > 0
    assert liveness(msgspec.structs.replace(own, birth=f"another-boot/{ticks}")) == "gone"
    assert liveness(msgspec.structs.replace(own, birth=f"{boot}/{int(ticks) + 1}")) == "gone"


def test_a_clock_that_was_put_right_makes_no_other_process() -> None:
    identity = identify()
    assert identity is not None
    assert liveness(msgspec.structs.replace(identity, start_time=identity.start_time + 7200)) == "alive"


def test_a_process_of_another_host_cannot_be_asked() -> None:
    identity = identify()
    assert identity is not None
    assert liveness(msgspec.structs.replace(identity, host="another-host")) == "elsewhere"
    assert liveness(msgspec.structs.replace(identity, host="another-host", pid=2**31 - 1)) == "elsewhere"


@pytest.mark.parametrize("pid", [2**31 - 1, 2**40])
def test_a_pid_that_nobody_has_is_gone(pid: int) -> None:
    assert identify(pid) is None
    identity = ProcessIdentity(pid=pid, start_time=0.0, host=socket.gethostname(), cwd="/")
    assert liveness(identity) == "gone"
    assert not signal(identity, signals.SIGTERM)


def test_a_signal_reaches_the_process(child: subprocess.Popen[bytes]) -> None:
    assert signal(identity_of(child), signals.SIGTERM)
    assert child.wait() == -signals.SIGTERM


@pytest.mark.parametrize("change", [{"birth": "another"}, {"birth": "", "start_time": 1.0}, {"host": "another-host"}])
def test_a_signal_does_not_reach_whoever_has_the_pid_now(
    child: subprocess.Popen[bytes], change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(psutil.Process, "send_signal", lambda _, number: sent.append(number))
    assert not signal(msgspec.structs.replace(identity_of(child), **change), signals.SIGKILL)
    assert sent == []


def test_a_process_that_ends_before_the_signal_is_no_error(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: psutil.Process, _: int) -> None:
        raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(psutil.Process, "send_signal", gone)
    assert not signal(identity_of(child), signals.SIGTERM)


def test_a_process_of_another_user_is_an_error(child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(self: psutil.Process, _: int) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "send_signal", deny)
    with pytest.raises(ProcessError, match=f"not allowed to signal process {child.pid}"):
        signal(identity_of(child), signals.SIGTERM)
