"""Runs for benchmarks/dashboard.py: many that have ended, and some that are at work as long as this script runs.

python benchmarks/dashboard_runs.py RUN_DIRECTORY RATE     # the trainer of one run, without any training
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

import msgspec

from domcli import process, rundir
from domcli.brief import BriefWriter
from domcli.events import (
    AnyEvent,
    CheckpointSaved,
    EpochEnd,
    Failed,
    Finished,
    Memorization,
    Progress,
    Started,
    Stopped,
    TestMetrics,
    TrainMetrics,
    encode,
)
from domcli.presets import METHODS, PARADIGMS
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.settings import Settings

PRESETS = tuple(f"{paradigm}-{method}" for paradigm in PARADIGMS for method in METHODS)
STEPS = 391
"""Steps of an epoch of CIFAR-10."""
PATTERNS = 50_000
EPOCH_SECONDS = 150.0
ENDINGS: tuple[AnyEvent, ...] = (
    *(Finished(seconds=300 * EPOCH_SECONDS) for _ in range(8)),
    Failed(cause="out-of-memory", reason="the device has too little memory; use a smaller batch"),
    Stopped(reason="asked to by SIGTERM", epoch=300, step=0),
)


def write_runs(folder: Path, count: int, epochs: int, progress: int, live: int) -> list[RunDirectory]:
    """Write `count` runs and return the last `live` of them, which are half done and wait for a trainer."""
    runs = []
    for number in range(count):
        preset, seed = PRESETS[number % len(PRESETS)], number // len(PRESETS)
        settings = Settings.model_validate({"train": {"epochs": epochs, "seed": seed}})
        environment = {"preset": preset, "created": time.time(), "command_line": f"domcli run {preset}"}
        run = rundir.create(folder, f"{preset}-{seed}", settings.to_dict(), environment)
        run.reserve.unlink()
        os.utime(run.settings, (1e9 + number, 1e9 + number))
        at_work = number >= count - live
        _write_stream(run, epochs // 2 if at_work else epochs, epochs, progress, seed)
        if not at_work:
            host = os.uname().nodename
            run.write_process(ProcessIdentity(pid=2**22 + 1, start_time=1.0, host=host, cwd="/", launched=1.0))
            writer = BriefWriter(run)
            writer.write(ENDINGS[number % len(ENDINGS)])
            writer.close()
        runs.append(run)
    return runs[count - live :]


def train(run: RunDirectory, rate: float, progress: int = 10) -> None:
    """Go on with a run: so many events a second, until it is done or nobody is there who started this process."""
    place = place_of(run)
    identity, parent = process.identify(), os.getppid()
    assert identity is not None
    run.write_process(identity)
    writer = BriefWriter(run)
    writer.write(msgspec.structs.replace(_started(place.epochs), epoch=place.done))
    for epoch in range(place.done + 1, place.epochs + 1):
        for event in _epoch(epoch, place.epochs, progress, 0):
            if os.getppid() != parent:
                return
            writer.write(event)
            time.sleep(1 / rate)


class Place(msgspec.Struct):
    """How far a run is: finished epochs of all epochs."""

    done: int
    epochs: int


def place_of(run: RunDirectory) -> Place:
    """Return how far a run that was written here is."""
    lines = run.events.read_bytes().splitlines()
    ends = [msgspec.json.decode(line)["epoch"] for line in lines if line.startswith(b'{"kind":"epoch"')]
    return Place(max(ends, default=0), msgspec.json.decode(lines[0])["epochs"])


def _write_stream(run: RunDirectory, done: int, epochs: int, progress: int, seed: int) -> None:
    events: list[AnyEvent] = [_started(epochs)]
    for epoch in range(1, done + 1):
        events += _epoch(epoch, epochs, progress, seed)
    seconds = EPOCH_SECONDS / (progress + 1)
    stamped = (msgspec.structs.replace(event, time=1e9 + seconds * n, seq=n) for n, event in enumerate(events))
    run.events.write_bytes(b"".join(map(encode, stamped)))


def _epoch(epoch: int, epochs: int, progress: int, seed: int) -> list[AnyEvent]:
    events: list[AnyEvent] = [_progress(epoch, STEPS * step // progress) for step in range(1, progress + 1)]
    events.append(_epoch_end(epoch, epochs, seed))
    if epoch % 50 == 0:
        events.append(CheckpointSaved(label="epoch", path=f"checkpoints/epoch-{epoch:04}.safetensors", epoch=epoch))
    return events


def _started(epochs: int) -> Started:
    return Started(
        settings_digest="0123456789abcdef", device="cuda:0", device_name="a GPU", precision="bfloat16",
        train_size=PATTERNS, test_size=10_000, classes=10, image_shape=(3, 32, 32), parameters=11_173_962,
        epochs=epochs, steps_per_epoch=STEPS,
    )  # fmt: skip


def _progress(epoch: int, step: int) -> Progress:
    return Progress(
        phase="train", epoch=epoch, step=step, steps=STEPS, images_per_second=3120.5, lr=0.1,
        natural_loss=1.2345678901234567 - epoch / 1000, robust_loss=1.9876543210987654 - epoch / 1000,
        seen=128 * step, high_confidence=60 * step, removed=60 * step,
    )  # fmt: skip


def _epoch_end(epoch: int, epochs: int, seed: int) -> EpochEnd:
    """Return an epoch of a run that overfits after half of its time, with some noise on every curve."""
    noise = math.sin(epoch * 12.9898 + seed) / 100
    late = max(0, epoch - epochs // 2)
    shares = [0.35 + epoch / 1000, 0.2, 0.15, 0.1, 0.1]
    histogram = [int(PATTERNS * share) for share in shares]
    high, warm = 20_000 + 50 * epoch, bool(late)
    return EpochEnd(
        epoch=epoch,
        lr=0.1 if not late else 0.01,
        train=TrainMetrics(
            natural_loss=2.2 - epoch / 200 + noise, natural_accuracy=0.3 + epoch / 600,
            robust_loss=2.3 - epoch / 300 + noise, robust_accuracy=0.2 + epoch / 600,
        ),
        test=TestMetrics(
            natural_loss=0.9 + noise, natural_accuracy=0.5 + epoch / 1000 + noise, pgd_loss=1.5 + late / 300,
            pgd_accuracy=0.3 + (epoch - 2 * late) / 1000 + noise,
        ),
        train_attack=None,
        memorization=Memorization(
            threshold=1.5, high_confidence=high, original=high - 5000 - late if warm else None,
            transformed=5000 + late if warm else None, entered=1000, left=900, removed=20_000 if warm else 0,
            augmented=0, histogram=(*histogram, PATTERNS - sum(histogram)), overlap=0.5,
        ),
        best=not late,
        train_seconds=EPOCH_SECONDS * 0.8,
        test_seconds=EPOCH_SECONDS * 0.2,
        images_per_second=3120.5,
        memory=3_000_000_000,
    )  # fmt: skip


if __name__ == "__main__":
    train(RunDirectory(Path(sys.argv[1])), float(sys.argv[2]))
