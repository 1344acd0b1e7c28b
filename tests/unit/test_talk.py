"""Ctrl-C and a process that reports: the first asks it to stop, the second kills it, and none is lost between them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from domcli.cli.interrupts import Interrupts
from domcli.launch.talk import listen

PATIENCE = 60.0
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""
WILLING = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
sys.exit(3 if signal.sigwait([signal.SIGTERM]) else 0)
"""


@pytest.fixture
def begin() -> Iterator[object]:
    begun = []

    def start(program: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
        # One that is never killed by what is tested ends the test, which then fails.
        patience = threading.Timer(PATIENCE, process.send_signal, [signal.SIGALRM])
        patience.start()
        begun.append((process, patience))
        return process

    yield start
    for process, patience in begun:
        patience.cancel()
        process.kill()
        process.wait()


def test_an_interrupt_that_comes_while_the_first_is_told_kills(begin) -> None:
    process, interrupts, told, children = begin(STUBBORN), Interrupts(), [], []

    def take(line: bytes) -> None:
        children.append(psutil.Process(int(line)))
        interrupts.count += 1

    def tell(words: str) -> None:
        told.append(words)
        if len(told) == 1:  # the person is as quick as can be
            interrupts.count += 1

    listen(process, interrupts, take, tell)
    assert told == ["stopping; press Ctrl-C again to kill it", "killing it"]
    assert process.wait() == -signal.SIGKILL
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]


def test_two_interrupts_at_once_kill(begin) -> None:
    process, interrupts, told = begin(STUBBORN), Interrupts(), []

    def take(line: bytes) -> None:
        interrupts.count += 2

    listen(process, interrupts, take, told.append)
    assert told == ["killing it"]
    assert process.wait() == -signal.SIGKILL


def test_the_first_asks_to_stop(begin) -> None:
    process, interrupts, told = begin(WILLING), Interrupts(), []

    def take(line: bytes) -> None:
        interrupts.count += 1

    listen(process, interrupts, take, told.append)
    assert told == ["stopping; press Ctrl-C again to kill it"]
    assert process.wait() == 3


def test_lines_come_whole_and_in_order(begin) -> None:
    process, lines = begin("import sys; sys.stdout.write('a' * 100000 + '\\nb\\nrest')"), []
    listen(process, Interrupts(), lines.append, lines.append)
    assert lines == [b"a" * 100000, b"b"]
