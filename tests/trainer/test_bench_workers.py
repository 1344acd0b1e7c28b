"""The processes of a benchmark answer, or say why they cannot."""

from __future__ import annotations

import out_of_memory
import pytest

from domcli.trainer.bench.cases import Options
from domcli.trainer.bench.messages import Failure, Job
from domcli.trainer.bench.workers import WorkerFailed, _guarded, worker

SETTINGS = Options(width=4, batch_size=8).settings("natural")


def test_a_process_says_why_it_cannot():
    with worker(Job("plain", SETTINGS, "cuda:99")) as process, pytest.raises(WorkerFailed, match="is not available"):
        process.ask("measure")


def test_a_process_that_is_gone_is_noticed():
    with worker(Job("machine", SETTINGS, "cpu")) as process:
        process._process.kill()
        with pytest.raises(WorkerFailed, match="the process of the machine side ended before it answered"):
            process.ask("describe")


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize("error", [*out_of_memory.GPU, *out_of_memory.MACHINE], ids=out_of_memory.name)
def test_memory_that_does_not_suffice_is_told_apart(error):
    found = _guarded(raising(error))
    assert found == Failure("memory does not suffice; free some, or take a smaller --batch-size", memory=True)


@pytest.mark.parametrize("error", out_of_memory.OTHER, ids=out_of_memory.name)
def test_other_failures_say_what_they_are(error):
    found = _guarded(raising(error))
    assert (found.memory, found.reason.startswith(f"{type(error).__name__}: ")) == (False, True)
