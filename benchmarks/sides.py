"""The two sides that benchmarks/step.py compares, each served by a worker process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import plain
import torch
import torch.nn.functional as F
from torch import Tensor

from domcli.settings import Settings
from domcli.stream import EventWriter
from domcli.trainer import device as devices
from domcli.trainer.augment import to_float, to_uint8
from domcli.trainer.data import Dataset, ImageSet
from domcli.trainer.loop import train_epoch
from domcli.trainer.models import Classifier, build
from domcli.trainer.report import ProgressReporter
from domcli.trainer.state import Training
from domcli.trainer.stop import StopFlag

Side = Literal["plain", "domcli"]

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
CLASSES = 10


@dataclass(frozen=True)
class Job:
    """What both sides do: measurements of `steps` steps each, on `device`."""

    settings: Settings
    device: str
    steps: int


@dataclass(frozen=True)
class Measurement:
    """Seconds are per step."""

    seconds: float
    cpu: float
    """CPU seconds of the process: on a shared machine, these count the work and not the waiting for a core."""
    loading: float
    """The part in which the plain loop waited for its DataLoader; domcli has none."""
    high_confidence: float
    """Share of the patterns with a natural loss under the threshold."""


class TimedLoader:
    """Passes batches on and adds up the time that it takes to make them."""

    def __init__(self, loader: plain.Loader) -> None:
        self._loader = loader
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[list[Tensor]]:
        batches = iter(self._loader)
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - began
            if batch is None:
                return
            yield batch


def serve(connection: Connection, side: Side, job: Job) -> None:
    """Set up a side, say what it computes on and how, then answer every "go" with a measurement until none comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    device = torch.device(job.device)
    measure, precision = (_plain_side if side == "plain" else _domcli_side)(job, device)
    connection.send({**devices.describe(device), "precision": precision})
    with contextlib.suppress(EOFError):
        while connection.recv() == "go":
            connection.send(measure())


def synthetic_images(count: int) -> tuple[Tensor, Tensor]:
    """Return random smooth pictures with some noise (uint8, N x 3 x 32 x 32) and random labels (int64, N)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=32, mode="bilinear")
    noisy = smooth + 0.05 * torch.randn(smooth.shape, generator=generator)
    return to_uint8(noisy.clamp(0, 1)), torch.randint(CLASSES, (count,), generator=generator)


def median_loss(settings: Settings) -> float:
    """Return the median natural loss of a batch before training: as threshold, it halves the batch."""
    images, labels = synthetic_images(settings.train.batch_size)
    with torch.no_grad():
        losses = F.cross_entropy(_fresh_network(settings)(to_float(images)), labels, reduction="none")
    return losses.quantile(0.5).item()


def _fresh_network(settings: Settings) -> Classifier:
    torch.manual_seed(settings.train.seed)
    return Classifier(build(settings.model, 3, CLASSES), MEAN, STD).train()


def _plain_side(job: Job, device: torch.device) -> tuple[Callable[[], Measurement], str]:
    batch_size = job.settings.train.batch_size
    images, labels = synthetic_images(batch_size * job.steps)
    model = _fresh_network(job.settings).to(device)
    loader = TimedLoader(plain.load(images, labels, batch_size, device))
    optimizer = plain.optimizer_of(model, job.settings)
    epoch = _epoch_after_warmup(job.settings)

    def measure() -> Measurement:
        loader.seconds = 0.0
        _wait_for(device)
        began, cpu_began = time.perf_counter(), time.process_time()
        sums = plain.train_epoch(model, loader, optimizer, job.settings, epoch, device)
        _wait_for(device)
        seconds = time.perf_counter() - began
        cpu = time.process_time() - cpu_began
        share = sums.high_confidence / sums.seen
        return Measurement(seconds / job.steps, cpu / job.steps, loader.seconds / job.steps, share)

    return measure, "float32"


def _domcli_side(job: Job, device: torch.device) -> tuple[Callable[[], Measurement], str]:
    """Set up as the trainer process does, on an epoch of exactly the steps to measure, and let it train that epoch."""
    devices.keep_freed_memory()
    devices.prepare(device)
    images, labels = synthetic_images(job.settings.train.batch_size * job.steps)
    pictures = ImageSet(images.to(device).contiguous(memory_format=torch.channels_last), labels.to(device))
    names = tuple(str(label) for label in range(CLASSES))
    training = Training.fresh(job.settings, Dataset(pictures, pictures, names, MEAN, STD), device)
    training.epoch = _epoch_after_warmup(job.settings)
    reporter = ProgressReporter(training, EventWriter(Path(os.devnull)))
    stop = StopFlag()

    def measure() -> Measurement:
        training.step, training.epoch_seconds = 0, 0.0
        training.meter.reset()
        _wait_for(device)
        began, cpu_began = time.perf_counter(), time.process_time()
        train_epoch(training, reporter, stop)
        _wait_for(device)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        training.epoch += 1  # so that the next measurement draws other numbers
        totals = training.meter.read()
        share = totals.high_confidence / totals.seen
        return Measurement(seconds / job.steps, cpu / job.steps, 0.0, share)

    return measure, str(training.precision).removeprefix("torch.")


def _epoch_after_warmup(settings: Settings) -> int:
    return int(settings.train.epochs * settings.dom.warmup) + 1


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
