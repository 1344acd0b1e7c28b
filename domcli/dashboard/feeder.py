"""The threads that read, so that the screen never waits: each look is one value in one message."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.message import Message

from domcli.dashboard.messages import ReadingFailed, SnapshotRead, SystemRead
from domcli.dashboard.model import Snapshot, Wanted
from domcli.dashboard.source import RunSource

BUSY_SECONDS = 1.0
"""Between two looks while a trainer is at work."""
IDLE_SECONDS = 1.0
FIRST_SECONDS = 0.1
"""After the first look at the runs: the list is drawn before anything else is read."""
LOADING_SECONDS = 1.0
"""Before the first look at the GPUs, for which much has to be loaded."""
SYSTEM_SECONDS = 3.0
"""Between two looks at the GPUs and the queue."""
PATIENCE_SECONDS = 5.0
"""After something went wrong that should not."""


class Feeder:
    """Reads a source for as long as it is told to, and sends what has changed."""

    def __init__(self, source: RunSource, send: Callable[[Message], object]) -> None:
        self._source = source
        self._send = send
        self._wanted = Wanted()
        self._over = threading.Event()
        self._awake = threading.Event()

    def start(self) -> None:
        """Begin to read. The threads end with the process, whatever they wait for."""
        for work in (self._read, self._look_at_system):
            threading.Thread(target=work, daemon=True).start()

    def stop(self) -> None:
        """Read no more."""
        self._over.set()
        self._awake.set()

    def want(self, wanted: Wanted) -> None:
        """Say what is shown; what is new is read at once."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._awake.set()

    def hurry(self) -> None:
        """Look now: something was done that will be seen."""
        self._awake.set()

    def _read(self) -> None:
        last: Snapshot | None = None
        while not self._over.is_set():
            self._awake.clear()
            pause = IDLE_SECONDS
            try:
                snapshot = self._source.read(self._wanted)
            except Exception as error:  # a bug, or a file system that is going away: the dashboard stays
                self._send(ReadingFailed(f"the runs could not be read: {error!r}"))
                pause = PATIENCE_SECONDS
            else:
                if snapshot != last:
                    self._send(SnapshotRead(snapshot))
                if last is None:
                    self._over.wait(FIRST_SECONDS)
                last = snapshot
                pause = 0.0 if snapshot.unread else BUSY_SECONDS if snapshot.busy else IDLE_SECONDS
            self._awake.wait(pause)

    def _look_at_system(self) -> None:
        self._over.wait(LOADING_SECONDS)
        while not self._over.is_set():
            pause = SYSTEM_SECONDS
            try:
                self._send(SystemRead(self._source.system()))
            except Exception as error:  # a driver that answers with what nobody expects
                self._send(ReadingFailed(f"the devices could not be looked at: {error!r}"))
                pause = 10 * PATIENCE_SECONDS
            self._over.wait(pause)
