"""What a terminal shows while a run is followed: read from a pseudo-terminal."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest

from domcli.rundir import RunDirectory
from domcli.runs import read_run

FAKE_CLI = str(Path(__file__).with_name("cli_with_fake_trainer.py"))
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PATIENCE = 60.0


class Terminal:
    """A command on a pseudo-terminal of 80 columns."""

    def __init__(self, arguments: list[str], term: str = "xterm") -> None:
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            environment = {**os.environ, "TERM": term}
            environment.pop("COLUMNS", None)
            os.execve(sys.executable, [sys.executable, FAKE_CLI, *arguments], environment)
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.raw = ""

    @property
    def text(self) -> str:
        return ESCAPES.sub("", self.raw).replace("\r", "\n")

    def wait_for(self, pattern: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, f"{pattern} did not come:\n{self.text[-3000:]}"
            assert self._read() or re.search(pattern, self.text), f"{pattern} never came:\n{self.text[-3000:]}"

    def press_interrupt(self) -> None:
        os.write(self._handle, b"\x03")

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        try:
            content = os.read(self._handle, 1 << 16)
        except OSError:
            return False
        self.raw += self._decoder.decode(content)
        return bool(content)


@pytest.fixture(autouse=True)
def play(cli):
    """The terminal's command begins where the `cli` fixture does, with its trainers."""
    return cli.play


def test_bars_losses_and_patterns_are_shown_while_training(play):
    play("wait")
    terminal = Terminal(["run", "pgd-dom-re", "--set", "train.epochs=4"])
    terminal.wait_for(r"epochs .* 1/4 +ETA 0:00:08")
    terminal.wait_for(r"train .* 8/8 +1,234 images/s")
    terminal.wait_for(r"natural loss 1\.500  robust loss 2\.250  best PGD-20 31\.00 % \(epoch 1\)")
    terminal.wait_for(r"high-confidence 200 of 1,000 patterns \(20\.00 %\)  removed 160")
    assert re.search(r"epoch +loss +acc %", terminal.text)
    assert re.search(r"\n +1 +1\.500 +43\.21 +2\.250 +31\.23 +51\.00 +31\.00\*", terminal.text)
    terminal.press_interrupt()
    terminal.wait_for("stopping: the trainer writes a checkpoint; press Ctrl-C again to kill it")
    assert terminal.end() == 130
    assert "domcli resume pgd-dom-re-seed0" in terminal.text
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is shown again"


def test_the_last_line_of_the_log_is_shown_while_the_trainer_loads(play):
    play("load")
    terminal = Terminal(["run", "pgd-dom-re"])
    terminal.wait_for(r"starting \(\d+ s; loading PyTorch and the data\)  downloading: 40 %")
    terminal.press_interrupt()
    assert terminal.end() == 130
    assert "stopped after 0 of 200 epochs" in terminal.text


def test_ctrl_c_in_a_terminal_reaches_the_trainer_only_through_domcli(tmp_path, play):
    play("stubborn")
    terminal = Terminal(["run", "pgd-dom-re", "--set", "train.epochs=4"])
    terminal.wait_for(r"epochs .* 1/4")
    terminal.press_interrupt()
    terminal.wait_for("stopping")
    run = RunDirectory(tmp_path / "runs" / "pgd-dom-re-seed0")
    assert read_run(run).status == "running"
    terminal.press_interrupt()
    assert terminal.end() == 130
    assert read_run(run).status == "lost"


def test_a_terminal_without_abilities_gets_plain_lines(play):
    play("finish")
    terminal = Terminal(["run", "pgd-dom-re", "--set", "train.epochs=4"], term="dumb")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert "finished after 4 of 4 epochs" in terminal.text


def test_the_error_is_marked_red_in_a_terminal(play):
    play("finish")
    terminal = Terminal(["run", "nonsense"])
    assert terminal.end() == 2
    assert "\x1b[1;31merror:\x1b[0m unknown preset" in terminal.raw
