"""A run that fails at the same place as before says that resuming it will not help."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from domcli.events import AnyEvent, CheckpointSaved, Failed, Started, Stopped
from domcli.rundir import RunDirectory
from domcli.stream import EventWriter
from domcli.trainer.again import LASTING, told_again

GPU = Failed(cause="device", reason="the GPU failed (CUDA error: unspecified launch failure)")
KEPT = CheckpointSaved(label="last", path="checkpoints/last.safetensors", epoch=2)


def started(epoch: int, step: int = 0) -> Started:
    return Started(
        settings_digest="",
        device="cuda:0",
        device_name="",
        precision="bfloat16",
        train_size=70,
        test_size=20,
        classes=10,
        image_shape=(3, 8, 8),
        parameters=1,
        epochs=4,
        steps_per_epoch=3,
        epoch=epoch,
        step=step,
    )


def run_with(folder: Path, *events: AnyEvent) -> RunDirectory:
    run = tiny.make_run(folder, "pgd-dom-re")
    writer = EventWriter(run.events)
    for event in events:
        writer.write(event)
    writer.close()
    return run


@pytest.mark.parametrize("cause", LASTING)
def test_the_second_time_it_is_said_that_resuming_does_not_help(tmp_path: Path, cause: str) -> None:
    failed = Failed(cause=cause, reason="it failed")
    told = told_again(failed, run_with(tmp_path, started(2), failed, started(2)))
    assert told.cause == cause
    assert told.reason.startswith("it failed; ")
    assert "resumed as it is, it will fail again" in told.reason
    assert LASTING[cause] in told.reason


@pytest.mark.parametrize(
    "events",
    [
        [started(0)],
        [started(0), GPU, started(1)],
        [started(1), GPU, started(1), KEPT],
        [started(1), Stopped(reason="asked to", epoch=1, step=0), started(1)],
        [started(1), Failed(cause="out-of-memory", reason=""), started(1)],
        [started(1, 5), GPU, started(1, 6)],
    ],
    ids=["first", "further", "got further since", "stopped", "failed otherwise", "another step"],
)
def test_nothing_is_added_otherwise(tmp_path: Path, events: list[AnyEvent]) -> None:
    assert told_again(GPU, run_with(tmp_path, *events)) == GPU


def test_a_full_disk_is_said_to_be_full_and_no_more(tmp_path: Path) -> None:
    full = Failed(cause="storage", reason="the disk is full; make room, then resume")
    assert told_again(full, run_with(tmp_path, started(2), full, started(2))) == full


def test_a_stream_that_cannot_be_read_hides_no_failure(tmp_path: Path) -> None:
    run = run_with(tmp_path, started(2), GPU, started(2))
    run.events.write_text("not events\n")
    assert told_again(GPU, run) == GPU
