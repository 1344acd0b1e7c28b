"""Being asked to stop: SIGTERM and SIGINT set a flag, which the trainer looks at between steps."""

from __future__ import annotations

import signal
from types import FrameType


class StopRequested(Exception):
    """Raised at the next safe place after a signal; the message names it."""


class StopFlag:
    """Remembers the first SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def install(self) -> None:
        """Take over SIGTERM and SIGINT, and ignore the closing of the terminal (SIGHUP)."""
        signal.signal(signal.SIGTERM, self._remember)
        signal.signal(signal.SIGINT, self._remember)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def check(self) -> None:
        """Raise StopRequested if a signal has come."""
        if self.reason is not None:
            raise StopRequested(self.reason)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.reason = self.reason or f"asked to by {signal.Signals(number).name}"
