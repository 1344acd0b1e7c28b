"""Events and files written in order by a thread beside the training, which does not wait for the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType

import msgspec

from domcli.events import AnyEvent
from domcli.stream import EventWriter

Job = Callable[[], object]


class BackgroundWriter:
    """One first-in first-out queue of what is to be written, served by one thread for as long as the context lasts.

    What is handed over later is written later, so an event that tells of a file is never there before it. The first
    job that fails is the last: nothing after it is written, and what it raised is raised in the training at the next
    call, or at the end of the context. The context ends when everything is written and the thread has ended, whatever
    ended it; handlers of signals run in the main thread alone, and disturb no write.
    """

    def __init__(self, events: EventWriter) -> None:
        self._events = events
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._progress = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="background writer")

    def __enter__(self) -> BackgroundWriter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._raise_failure()  # what failed was handed over before the training ended, and comes before its own error

    def write(self, event: AnyEvent) -> None:
        """Have an event appended, stamped with the time of now. Raises what writing failed of."""
        happened = msgspec.structs.replace(event, time=time.time())
        self.do(lambda: self._events.write(happened))

    def do(self, job: Job) -> None:
        """Have a job done after all before it. Raises what writing failed of."""
        self._raise_failure()
        self._jobs.put(job)

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait until jobs that are done have brought this about. Raises what writing failed of."""
        with self._progress:
            self._progress.wait_for(lambda: self._failure is not None or reached())
        self._raise_failure()

    def sync(self) -> None:
        """Have what was handed over so far survive a power failure before anything after it is written."""
        self.do(self._events.sync)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:  # whatever it is, the training is to end of it
                self._failure = error
            with self._progress:
                self._progress.notify_all()
            if self._failure is not None:
                return
