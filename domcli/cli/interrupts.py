"""Ctrl-C while a command waits for runs or for a process of its own: it is counted, and passed on by who waits."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupts:
    """While entered, Ctrl-C (SIGINT) and SIGTERM are counted instead of ending this process; Ctrl-\\ asks to leave."""

    def __init__(self) -> None:
        self.count = 0
        self.terminated = False
        self.leave = False
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            # A shell starts background jobs with SIGINT ignored; that is to stay so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGQUIT:
            self.leave = True
            return
        self.count += 1
        self.terminated = self.terminated or number == signal.SIGTERM

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ended by this signal."""
        return 128 + (signal.SIGTERM if self.terminated else signal.SIGINT)


class Onlooker(Interrupts):
    """While entered, Ctrl-C, SIGTERM and Ctrl-\\ ask to leave, and no run is stopped."""

    def _note(self, number: int, frame: FrameType | None) -> None:
        super()._note(number, frame)
        self.leave = True
