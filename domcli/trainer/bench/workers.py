"""Processes that measure: memory allocator and threads belong to a process, so each side has one of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from domcli.settings import Settings
from domcli.trainer import TORCH_ENVIRONMENT
from domcli.trainer.bench.floor import Limits

Side = Literal["machine", "plain", "domcli"]
Answers = Mapping[str, Callable[[], Any]]
"""What a side answers, by request."""

ENDING_SECONDS = 5.0
"""To wait for the exit code of a process that has closed its end."""


@dataclass(frozen=True)
class Job:
    """What a process is for; a measurement is of `steps` steps, on `device`."""

    side: Side
    settings: Settings
    device: str
    steps: int = 1


@dataclass(frozen=True)
class Timed:
    """Seconds of each part of some work."""

    seconds: float
    cpu: float
    """CPU seconds of the process: on a shared machine, these count the work and not the waiting for a core."""


@dataclass(frozen=True)
class Measurement(Timed):
    """Seconds are per step."""

    loading: float
    """The part in which the plain loop waited for its DataLoader; domcli has none."""
    high_confidence: float
    """Share of the patterns with a natural loss under the threshold."""


@dataclass(frozen=True)
class Machine:
    """What is computed on: `device_type` is cpu or cuda, `environment` what is told of it."""

    device_type: str
    environment: dict[str, Any]
    limits: Limits
    threshold: float


@dataclass(frozen=True)
class Failure:
    """What a process answers when it cannot."""

    reason: str


class WorkerFailed(Exception):
    """A process could not measure; the message says why."""


class Worker:
    """A process that answers requests."""

    def __init__(self, side: Side, connection: Connection, process: BaseProcess) -> None:
        self._side = side
        self._connection = connection
        self._process = process

    def ask(self, request: str) -> Any:
        """Have the process answer, and wait for it. Raises WorkerFailed."""
        try:
            self._connection.send(request)
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(ENDING_SECONDS)
            code = self._process.exitcode
            raise WorkerFailed(
                f"the process of the {self._side} side ended before it answered, exit code {code}"
                + (": killed, as happens where memory runs out" if code == -signal.SIGKILL else "")
            ) from None
        if isinstance(answer, Failure):
            raise WorkerFailed(answer.reason)
        return answer


@contextmanager
def worker(job: Job) -> Iterator[Worker]:
    """Start a process for a job; it ends with the block."""
    here, there = (spawning := get_context("spawn")).Pipe()
    process = spawning.Process(target=serve, args=(there, job), daemon=True)
    # The trainer process gives torch this environment; plain research code does not.
    before = dict(os.environ)
    os.environ.update({} if job.side == "plain" else TORCH_ENVIRONMENT)
    process.start()
    os.environ.clear()
    os.environ.update(before)
    there.close()
    try:
        yield Worker(job.side, here, process)
    finally:
        here.close()
        process.terminate()
        process.join()


def serve(connection: Connection, job: Job) -> None:
    """Set up a side, then answer requests until none comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    found = _guarded(lambda: _set_up(job))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            request = connection.recv()
            connection.send(found if isinstance(found, Failure) else _guarded(found[request]))


def _set_up(job: Job) -> Answers:
    from domcli.trainer.bench.sides import answers  # torch is loaded here, not in the parent

    return answers(job)


def _guarded(work: Callable[[], Any]) -> Any:
    """Return what the work returns, or the failure it ends with."""
    try:
        return work()
    except Exception as error:
        traceback.print_exc()
        return Failure(_sentence(error))


def _sentence(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return "memory does not suffice; free some, or take a smaller --batch-size"
    from domcli.errors import DomcliError

    return text if isinstance(error, DomcliError) else f"{type(error).__name__}: {text}"
