"""Being asked to stop: SIGTERM and SIGINT set a flag, which the trainer looks at between steps.

On a CPU, where a step is long, it looks before every pass of the network, in attacks too; a step, or a test, that is
broken off so is done again from its beginning.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class StopRequested(Exception):
    """Raised at the next safe place after a signal; the message names it."""


class StopFlag:
    """Remembers the first SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._at_once = False

    def install(self) -> None:
        """Take over SIGTERM and SIGINT, and ignore the closing of the terminal (SIGHUP).

        A launcher holds the first two back until then, so that none is lost.
        """
        signal.signal(signal.SIGTERM, self._remember)
        signal.signal(signal.SIGINT, self._remember)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})

    def check(self) -> None:
        """Raise StopRequested if a signal has come."""
        if self.reason is not None:
            raise StopRequested(self.reason)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise StopRequested out of whatever goes on inside as soon as a signal comes: long reads and downloads."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.reason = self.reason or f"asked to by {signal.Signals(number).name}"
        if self._at_once:
            self._at_once = False
            raise StopRequested(self.reason)
