"""A command on a pseudo-terminal."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import psutil

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PATIENCE = 60.0


class Terminal:
    """Runs a command on a pseudo-terminal and keeps what it writes there."""

    def __init__(self, command: list[str], term: str = "xterm", columns: int = 80, lines: int = 24) -> None:
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            # The command must find the size there from the start.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            environment = {**os.environ, "TERM": term}
            for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
                environment.pop(name, None)
            os.execve(command[0], command, environment)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.raw = ""

    @property
    def text(self) -> str:
        """What was written so far, without escape sequences."""
        return ESCAPES.sub("", self.raw).replace("\r", "\n")

    def wait_for(self, *patterns: str) -> None:
        """Read until all patterns were written.

        A picture that is drawn anew can arrive in pieces: what a test expects beside what it waits for may still be
        on its way, and the end of a line with it. So it waits for all of that, with `$` or a line break at its end.
        """
        deadline = time.monotonic() + PATIENCE
        for pattern in patterns:
            while not re.search(pattern, self.text):
                more = time.monotonic() < deadline and self._read()
                assert more or re.search(pattern, self.text), f"{pattern} did not come:\n{self.text[-3000:]}"

    def press(self, keys: bytes) -> None:
        os.write(self._handle, keys)

    def wait_until_it_reads(self) -> None:
        """Wait until the command sleeps, as it does at a prompt; Python can lose a Ctrl-C that comes just before."""
        deadline = time.monotonic() + PATIENCE
        while psutil.Process(self.pid).status() != psutil.STATUS_SLEEPING:
            assert time.monotonic() < deadline, f"it reads nothing:\n{self.text[-3000:]}"
            time.sleep(0.01)

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        ended = bool(select.select([self._handle], [], [], 0)[0])
        if not ended:
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert ended, f"it did not end:\n{self.text[-3000:]}"
        return code

    def _read(self) -> bool:
        """Read what there is; return False at the end, and when nothing comes."""
        if not select.select([self._handle], [], [], PATIENCE)[0]:
            return False
        try:
            content = os.read(self._handle, 1 << 16)
        except OSError:
            return False
        self.raw += self._decoder.decode(content)
        return bool(content)
