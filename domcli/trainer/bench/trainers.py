"""The side that trains beside others: it goes on until a given time, and tells when it had done each step."""

from __future__ import annotations

import contextlib
import time
from typing import Protocol

import torch

from domcli.stream import NoSink
from domcli.trainer import device as devices
from domcli.trainer.bench.messages import Answers, Job, Prepared
from domcli.trainer.bench.sides import engine_on, synthetic_images
from domcli.trainer.data import ImageSet
from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import BATCH, Attacks, Draws, evaluate
from domcli.trainer.loop import train_epoch
from domcli.trainer.report import ProgressReporter
from domcli.trainer.seeding import Purpose
from domcli.trainer.state import Training
from domcli.trainer.stop import StopFlag, StopRequested

IMAGES = {"cuda": 50_000, "cpu": 5_000}
"""Of an epoch; on CUDA they take as much of the device as those of a real run."""
DISTINCT = 1_000
"""The others repeat these."""
LAST_STEPS = {"cuda": 4, "cpu": 2}
"""Of an epoch, done before anything is measured: whole batches and the last, smaller one."""


class Clock(Protocol):
    """Notes when steps are done."""

    def mark(self) -> None:
        """Note that a step was asked for."""

    def read(self) -> list[float]:
        """Wait for the device, and return when each step was done, on the clock that all processes share."""


class HostClock:
    """Where a step is done when it has been asked for: on a CPU."""

    def __init__(self) -> None:
        self._marks: list[float] = []

    def mark(self) -> None:
        """See Clock."""
        self._marks.append(time.monotonic())

    def read(self) -> list[float]:
        """See Clock."""
        return self._marks


class DeviceClock:
    """On CUDA the host runs ahead of the device, so the device notes the time, without being waited for."""

    def __init__(self) -> None:
        self._began = _event()
        self._began.synchronize()
        self._zero = time.monotonic()
        self._events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        """See Clock."""
        self._events.append(_event())

    def read(self) -> list[float]:
        """See Clock."""
        torch.cuda.synchronize()
        return [self._zero + self._began.elapsed_time(event) / 1000 for event in self._events]


class Marking(ProgressReporter):
    """Reports progress as a trainer does, and has a clock note every step."""

    clock: Clock

    def after_step(self) -> None:
        """See ProgressReporter."""
        super().after_step()
        self.clock.mark()


class Deadline(StopFlag):
    """Asks to stop when the time has come, on the clock that all processes share."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self._at = at

    def check(self) -> None:
        """See StopFlag."""
        if time.monotonic() >= self._at:
            raise StopRequested("time is up")


class AfterOne(StopFlag):
    """Asks to stop after one step."""

    _checked = False

    def check(self) -> None:
        """See StopFlag."""
        if self._checked:
            raise StopRequested("one step is done")
        self._checked = True


def trainer_side(job: Job) -> Answers:
    """Set up as the trainer process does; prepare, then train whenever and until it is told."""
    device = devices.select_device(job.device)
    images, labels = synthetic_images(DISTINCT)
    times = IMAGES[device.type] // DISTINCT
    engine = engine_on(job.settings, device, images.repeat(times, 1, 1, 1), labels.repeat(times))
    training = engine.training
    reporter = Marking(training, NoSink())

    def prepare() -> Prepared:
        reporter.clock = HostClock()
        _begin_epoch(training, max(0, training.steps_per_epoch - LAST_STEPS[device.type]))
        train_epoch(training, engine, reporter, StopFlag())
        if device.type == "cuda":
            _evaluate_once(engine)
        return Prepared(
            step_seconds=_seconds_of_a_step(engine, reporter),
            memory=_memory(device),
            threads=torch.get_num_threads(),
            engine=engine.describe(),
        )

    def train(begin: float, end: float) -> list[float]:
        """Train from one time to another and return when each step was done."""
        devices.wait_for(device)
        time.sleep(max(0.0, begin - time.monotonic()))
        clock = reporter.clock = DeviceClock() if device.type == "cuda" else HostClock()
        stop = Deadline(end)
        with contextlib.suppress(StopRequested):
            while True:
                _begin_epoch(training, 0)
                train_epoch(training, engine, reporter, stop)
        return clock.read()

    return {"prepare": prepare, "train": train}


def _begin_epoch(training: Training, step: int) -> None:
    training.step, training.epoch_seconds = step, 0.0
    training.meter.reset()


def _evaluate_once(engine: Engine) -> None:
    """Attack a batch of test images, so that the memory is in use that this takes in a run."""
    training = engine.training
    test = training.dataset.test
    batch = BATCH[training.device.type]
    images = ImageSet(test.images[:batch], test.labels[:batch])
    draws = Draws(training.settings.train.seed, Purpose.TEST, 0)
    attacks = Attacks.on_test_set(training.settings)
    evaluate(training.classifier, images, attacks, engine.measure, draws, lambda *_: None)


def _seconds_of_a_step(engine: Engine, reporter: Marking) -> float:
    """Return about the time of a step with a whole batch."""
    training = engine.training
    _begin_epoch(training, 0)
    devices.wait_for(training.device)
    began = time.monotonic()
    with contextlib.suppress(StopRequested):
        train_epoch(training, engine, reporter, AfterOne())
    devices.wait_for(training.device)
    return time.monotonic() - began


def _memory(device: torch.device) -> int:
    """Return the most bytes that this process has taken of the device's memory, without what a GPU's driver takes."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else devices.peak_memory(device)


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
