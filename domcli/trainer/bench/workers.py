"""Processes that measure: memory allocator and threads belong to a process, so each side has one of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from domcli.memory import is_out_of_memory
from domcli.trainer import torch_environment
from domcli.trainer.bench.messages import Answers, Failure, Job, Side

ENDING_SECONDS = 5.0
"""To wait for the exit code of a process that has closed its end."""


class WorkerFailed(Exception):
    """A process could not measure; the message says why, `memory` whether memory did not suffice."""

    def __init__(self, reason: str, *, memory: bool = False) -> None:
        super().__init__(reason)
        self.memory = memory


class Worker:
    """A process that answers requests."""

    def __init__(self, side: Side, connection: Connection, process: BaseProcess) -> None:
        self._side = side
        self._connection = connection
        self._process = process

    def ask(self, request: str, *arguments: object) -> Any:
        """Have the process answer, and wait for it. Raises WorkerFailed."""
        self.send(request, *arguments)
        return self.answer()

    def send(self, request: str, *arguments: object) -> None:
        """Have the process begin with an answer, to be waited for later."""
        with contextlib.suppress(OSError):  # of a process that is gone, `answer` tells
            self._connection.send((request, *arguments))

    def answer(self) -> Any:
        """Wait for the answer to a request. Raises WorkerFailed."""
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(ENDING_SECONDS)
            code = self._process.exitcode
            killed = code == -signal.SIGKILL
            raise WorkerFailed(
                f"the process of the {self._side} side ended before it answered, exit code {code}"
                + (": killed, as happens where memory runs out" if killed else ""),
                memory=killed,
            ) from None
        if isinstance(answer, Failure):
            raise WorkerFailed(answer.reason, memory=answer.memory)
        return answer


@contextmanager
def worker(job: Job) -> Iterator[Worker]:
    """Start a process for a job; it ends with the block."""
    here, there = (spawning := get_context("spawn")).Pipe()
    process = spawning.Process(target=serve, args=(there, job), daemon=True)
    # The trainer process gives torch this environment; plain research code does not.
    before = dict(os.environ)
    os.environ.update({**({} if job.side == "plain" else torch_environment()), **job.environment})
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
            request, *arguments = connection.recv()
            connection.send(found if isinstance(found, Failure) else _guarded(found[request], *arguments))


def _set_up(job: Job) -> Answers:
    """Return what a job answers to each request; torch is loaded here, not in the parent."""
    from domcli.trainer.bench.sides import domcli_side, machine_side, plain_side
    from domcli.trainer.bench.trainers import trainer_side

    return {"machine": machine_side, "plain": plain_side, "domcli": domcli_side, "trainer": trainer_side}[job.side](job)


def _guarded(work: Callable[..., Any], *arguments: object) -> Any:
    """Return what the work returns, or the failure it ends with."""
    try:
        return work(*arguments)
    except Exception as error:
        traceback.print_exc()
        return Failure(_sentence(error), is_out_of_memory(error))


def _sentence(error: Exception) -> str:
    if is_out_of_memory(error):
        return "memory does not suffice; free some, or take a smaller --batch-size"
    text = str(error).strip().split("\n")[0]
    from domcli.errors import DomcliError

    return text if isinstance(error, DomcliError) else f"{type(error).__name__}: {text}"
