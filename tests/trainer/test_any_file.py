"""Every file that the trainer reads is used, or refused in a sentence, or made again, whatever became of it."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from damage_readers import changed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domcli import checkpoints
from domcli.errors import CheckpointError, DomcliError
from domcli.rundir import RunDirectory
from domcli.trainer import checkpoint
from domcli.trainer.datasets import cache
from domcli.trainer.fast import cpu, cuda, remembered
from domcli.trainer.memorization import LossArchive
from domcli.trainer.snapshot import Snapshots
from domcli.trainer.state import Training

Read = Callable[[Path], object]
KEY = "a device"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with everything that a trainer finds when it resumes."""
    found = tiny.make_run(tmp_path_factory.mktemp("any"), "natural-dom-re")
    at = tiny.training("natural-dom-re")
    snapshots = Snapshots(torch.device("cpu"))
    checkpoint.write_last(found.checkpoint("last"), snapshots.take(checkpoint.state_of(at), checkpoint.about(at)))
    LossArchive(found.memorization, 4, 70)
    content = cache.Content(np.zeros((2, 4, 4, 3), np.uint8), (0.5,) * 3, (0.5,) * 3)
    cache.store(found.path / "images.npz", "as it is", content, alone=False)
    (found.path / "cpu.json").write_text(json.dumps({KEY: {"threads": 1, "kernels": True}}))
    (found.path / "cuda.json").write_text(json.dumps({KEY: {"written": [1.0, 2.0], "compiled": [0.5, 1.0]}}))
    return found


@pytest.fixture(scope="module")
def training() -> Training:
    return tiny.training("natural-dom-re")


def of_the_cpu(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "cache_directory", lambda: path.parent)
        assert cpu._remembered(KEY) is None or isinstance(cpu._remembered(KEY), cpu.Way)
        remembered.remember(path.name, "another", 1)


def of_the_gpu(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "cache_directory", lambda: path.parent)
        work = cuda.Pace(1.0, 1.0)
        assert all(pace is None or pace.of(work) > 0 for pace in cuda._remembered(KEY))


READERS: dict[str, tuple[str, Read]] = {
    "checkpoints.read_about": ("checkpoints/last.safetensors", checkpoints.read_about),
    "memorization": ("memorization.npy", lambda path: LossArchive(path, 4, 70).keep(0, torch.zeros(70))),
    "images": ("images.npz", lambda path: cache.load(path, "as it is", 2)),
    "cpu": ("cpu.json", of_the_cpu),
    "cuda": ("cuda.json", of_the_gpu),
}


@pytest.mark.parametrize("name", READERS)
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_any_content_ends_in_a_value_or_a_sentence(run: RunDirectory, name: str, chance: random.Random) -> None:
    file, read = READERS[name]
    path = run.path / file
    before = path.read_bytes()
    path.write_bytes(changed(before, chance))
    try:
        with contextlib.suppress(DomcliError):
            read(path)
    finally:
        path.write_bytes(before)


@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_checkpoint_is_gone_on_from_or_refused(
    run: RunDirectory, training: Training, chance: random.Random
) -> None:
    path = run.checkpoint("last")
    before = path.read_bytes()
    # What is changed is the header mostly: any weights are weights.
    header = 8 + int.from_bytes(before[:8], "little") if chance.random() < 0.8 else len(before)
    path.write_bytes(changed(before[:header], chance) + before[header:])
    forms = {name: (value.shape, value.dtype) for name, value in training.record.tensors().items()}
    try:
        with contextlib.suppress(CheckpointError):
            checkpoint.restore_last(run, training)
    finally:
        path.write_bytes(before)
    assert {name: (value.shape, value.dtype) for name, value in training.record.tensors().items()} == forms
    assert all(isinstance(getattr(training, counter), int | float) for counter in checkpoint.COUNTERS)
    checkpoint.restore_last(run, training)


@pytest.mark.parametrize("counter", checkpoint.COUNTERS)
@pytest.mark.parametrize("value", [None, "x", True, -1, 10**30, [], float("nan")])
def test_a_counter_that_is_none_is_refused(run: RunDirectory, training: Training, counter: str, value: object) -> None:
    path = run.checkpoint("last")
    before = path.read_bytes()
    snapshot = Snapshots(torch.device("cpu")).take(
        checkpoint.state_of(training), {**checkpoint.about(training), counter: value}
    )
    checkpoint.write_last(path, snapshot)
    try:
        with pytest.raises(CheckpointError, match=f"its {counter} is not a count"):
            checkpoint.restore_last(run, training)
    finally:
        path.write_bytes(before)
