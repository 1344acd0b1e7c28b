"""The smallest experiments in which every stage still happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from domcli import presets, rundir
from domcli.events import AnyEvent
from domcli.rundir import RunDirectory
from domcli.settings import Settings
from domcli.stream import EventReader, EventWriter
from domcli.trainer import data
from domcli.trainer.loop import train
from domcli.trainer.state import Training
from domcli.trainer.stop import StopFlag

TINY = (
    "data.train_images=70",
    "data.test_images=20",
    "model.width=4",
    "train.epochs=4",
    "train.batch_size=32",
    "train.precision=float32",
    "attack.steps=2",
    "evaluation.steps=2",
)
VOLATILE = {"time", "seq", "train_seconds", "test_seconds", "images_per_second", "memory"}


def settings(preset: str, *overrides: str) -> Settings:
    """Return a quick preset made smaller still."""
    return presets.resolve(preset, [*TINY, *overrides], quick=True)


def training(preset: str, *overrides: str) -> Training:
    """Return a fresh training state on the CPU."""
    chosen = settings(preset, *overrides)
    device = torch.device("cpu")
    return Training.fresh(chosen, data.load(chosen.data, device), device)


def make_run(folder: Path, preset: str, *overrides: str, name: str = "run") -> RunDirectory:
    return rundir.create(folder, name, settings(preset, *overrides).to_dict(), {})


def start(run: RunDirectory, device: str = "cpu") -> subprocess.Popen[bytes]:
    with run.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "domcli.trainer", str(run.path), "--device", device], stdout=log, stderr=log
        )


def finish(run: RunDirectory, expected: int = 0) -> list[AnyEvent]:
    """Run the trainer to its end and return all events; its exit code must be the expected one."""
    process = start(run)
    try:
        code = process.wait(timeout=240)
    finally:
        process.kill()
        process.wait()
    assert code == expected, run.log.read_text()
    return events(run)


def events(run: RunDirectory) -> list[AnyEvent]:
    return EventReader(run.events).read()


def of_kind(found: list[AnyEvent], kind: type) -> list[Any]:
    return [event for event in found if isinstance(event, kind)]


def interrupt(run: RunDirectory, when: Callable[[list[AnyEvent]], bool], number: signal.Signals) -> int:
    """Start the trainer, signal it as soon as its events say so, and return its exit code."""
    process = start(run)
    try:
        deadline = time.monotonic() + 240
        while not when(events(run)):
            assert process.poll() is None, run.log.read_text()
            assert time.monotonic() < deadline, run.log.read_text()
            time.sleep(0.01)
        process.send_signal(number)
        return process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()


def lasting(run: RunDirectory) -> list[dict[str, Any]]:
    """Return the epochs of a run, those done again only once, without what differs from one machine to the next."""
    found = [json.loads(line) for line in run.events.read_bytes().splitlines()]
    epochs = {event["epoch"]: event for event in found if event["kind"] == "epoch"}
    return [{key: value for key, value in epochs[e].items() if key not in VOLATILE} for e in sorted(epochs)]


def train_here(run: RunDirectory, stop: StopFlag | None = None) -> list[AnyEvent]:
    """Train a run inside this process and return all its events."""
    writer = EventWriter(run.events)
    try:
        train(run, presets.from_run(run), "cpu", writer, stop or StopFlag())
    finally:
        writer.close()
    return events(run)
