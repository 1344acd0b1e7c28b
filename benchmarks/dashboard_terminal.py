"""A command on a pseudo-terminal, and when it wrote what."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable

ESCAPES = re.compile(r"\x1b(\[[0-9;?<>=]*[$ ]?[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\)|.)")
PATIENCE = 60.0


class Terminal:
    """Starts a command on a terminal of (columns, lines) that takes what it writes at once, and ends it at the end."""

    def __init__(self, command: list[str], size: tuple[int, int]) -> None:
        self.began = time.perf_counter()
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
            environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
            # Like an installed package, the second start finds itself compiled.
            for name in ("COLUMNS", "LINES", "NO_COLOR", "PYTHONDONTWRITEBYTECODE"):
                environment.pop(name, None)
            os.execve(command[0], command, environment)
        self._content = bytearray()
        self._more = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    @property
    def written(self) -> int:
        """Bytes so far."""
        return len(self._content)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._handle, keys)

    def wait_for(self, wanted: Callable[[str], object], since: int = 0) -> float:
        """Return how many seconds after the start the text from a byte on, without escapes, was as wanted."""
        deadline = time.perf_counter() + PATIENCE
        with self._more:
            while True:
                now, size = time.perf_counter(), len(self._content)
                text = ESCAPES.sub("", self._content[since:].decode(errors="replace"))
                if wanted(text):
                    return now - self.began
                if self._ended or now > deadline:
                    raise TimeoutError(f"this is all that came:\n{text[-3000:]}")
                self._more.wait_for(lambda size=size: len(self._content) > size or self._ended, 1.0)  # type: ignore[misc]

    def wait_for_end(self) -> None:
        """Wait until the command has ended."""
        with self._more:
            if not self._more.wait_for(lambda: self._ended, PATIENCE):
                raise TimeoutError("the command does not end")

    def _read(self) -> None:
        while True:
            try:
                content = os.read(self._handle, 1 << 16)
            except OSError:
                content = b""
            with self._more:
                self._content += content
                self._ended = not content
                self._more.notify_all()
            if not content:
                return
