"""The processes of a benchmark answer, or say why they cannot."""

from __future__ import annotations

import pytest

from domcli.trainer.bench.cases import Options
from domcli.trainer.bench.workers import Job, WorkerFailed, worker

SETTINGS = Options(width=4, batch_size=8).settings("natural")


def test_a_process_says_why_it_cannot():
    with worker(Job("plain", SETTINGS, "cuda:99")) as process, pytest.raises(WorkerFailed, match="is not available"):
        process.ask("measure")


def test_a_process_that_is_gone_is_noticed():
    with worker(Job("machine", SETTINGS, "cpu")) as process:
        process._process.kill()
        with pytest.raises(WorkerFailed, match="the process of the machine side ended before it answered"):
            process.ask("describe")
