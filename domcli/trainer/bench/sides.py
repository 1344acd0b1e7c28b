"""The two sides that are compared, and what the device can do; each is served by a process of its own."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from domcli.catalogue import DATASETS
from domcli.settings import AttackSettings, Settings
from domcli.stream import NoSink
from domcli.timing.estimate import PlainEvaluation
from domcli.trainer import device as devices
from domcli.trainer.augment import to_float, to_uint8
from domcli.trainer.bench.cases import TEST_IMAGES
from domcli.trainer.bench.limits import measure_limits
from domcli.trainer.bench.messages import Answers, Job, Machine, Measurement, Timed
from domcli.trainer.data import Dataset, ImageSet
from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import Attacks, Draws, evaluate
from domcli.trainer.fast import engine_for
from domcli.trainer.loop import train_epoch
from domcli.trainer.models import Classifier, build
from domcli.trainer.report import ProgressReporter
from domcli.trainer.seeding import Purpose
from domcli.trainer.state import Training
from domcli.trainer.stop import StopFlag

if TYPE_CHECKING:
    from domcli.trainer.bench import plain

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
CLASSES = 10
SIZE = 32


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


def machine_side(job: Job) -> Answers:
    """Tell what is computed on, its limits, and the threshold that halves a batch of an untrained network."""

    def describe() -> Machine:
        device = devices.select_device(job.device)
        devices.prepare(device)
        precision = devices.resolve_precision(job.settings.train.precision, device)
        return Machine(
            device.type,
            {
                **devices.describe(device),
                "torchvision": importlib.metadata.version("torchvision"),
                "python": platform.python_version(),
                "cores": os.cpu_count(),
                "precision": str(precision).removeprefix("torch."),
            },
            measure_limits(device, precision),
            median_loss(job.settings),
        )

    return {"describe": describe}


def plain_side(job: Job) -> Answers:
    """Time the plain loop, for which alone torchvision is loaded: it takes as long as torch."""
    from domcli.trainer.bench import plain

    device = devices.select_device(job.device)
    batch_size = job.settings.train.batch_size
    images, labels = synthetic_images(batch_size * job.steps)
    model = _fresh_network(job.settings).to(device)
    loader = TimedLoader(plain.load(images, labels, batch_size, device))
    optimizer = plain.optimizer_of(model, job.settings)
    epoch = _epoch_after_warmup(job.settings)

    def measure() -> Measurement:
        loader.seconds = 0.0
        timed, sums = _timed(
            lambda: plain.train_epoch(model, loader, optimizer, job.settings, epoch, device), device, job.steps
        )
        return Measurement(timed.seconds, timed.cpu, loader.seconds / job.steps, sums.high_confidence / sums.seen)

    return {
        "measure": measure,
        "evaluate": lambda: plain_evaluation(model, job.settings, device),
        "describe": lambda: {"precision": "float32", "threads": torch.get_num_threads()},
    }


def plain_evaluation(model: Classifier, settings: Settings, device: torch.device) -> PlainEvaluation:
    """Time what the official script evaluates after an epoch of PGD training: both sets attacked, a batch of each."""
    from domcli.trainer.bench import plain

    images, labels = (part.to(device) for part in synthetic_images(settings.train.batch_size))
    tested = {"steps": settings.evaluation.steps, "alpha": settings.evaluation.alpha}

    def seconds(attack: AttackSettings) -> float:
        return _timed(lambda: plain.evaluate(model, to_float(images), labels, attack), device, len(images))[0].seconds

    return PlainEvaluation(test=seconds(settings.attack.model_copy(update=tested)), train=seconds(settings.attack))


def domcli_side(job: Job) -> Answers:
    """Let a trainer train an epoch of exactly the steps to measure."""
    device = devices.select_device(job.device)
    engine = engine_on(job.settings, device, *synthetic_images(job.settings.train.batch_size * job.steps))
    training = engine.training
    reporter = ProgressReporter(training, NoSink())
    stop = StopFlag()

    def measure() -> Measurement:
        training.step, training.epoch_seconds = 0, 0.0
        training.meter.reset()
        timed, _ = _timed(lambda: train_epoch(training, engine, reporter, stop), device, job.steps)
        training.epoch += 1  # so that the next measurement draws other numbers
        totals = training.meter.read()
        return Measurement(timed.seconds, timed.cpu, 0.0, totals.high_confidence / totals.seen)

    return {
        "measure": measure,
        "evaluate": evaluation(engine),
        "describe": lambda: {"threads": torch.get_num_threads(), "engine": engine.describe()},
    }


def engine_on(settings: Settings, device: torch.device, images: Tensor, labels: Tensor) -> Engine:
    """Set up as the trainer process does, on these images (uint8, N x 3 x 32 x 32), after the warm-up's end; return
    what does the steps of that training.
    """
    devices.keep_freed_memory()
    devices.prepare(device)
    pictures = ImageSet(images.to(device).contiguous(memory_format=torch.channels_last), labels.to(device))
    names = tuple(str(label) for label in range(CLASSES))
    training = Training.fresh(settings, Dataset(pictures, pictures, names, MEAN, STD), device)
    engine = engine_for(training, images=DATASETS[settings.data.dataset].images)
    training.epoch = _epoch_after_warmup(settings)
    return engine


def evaluation(engine: Engine) -> Callable[[], Timed]:
    """Return what times an evaluation as the settings ask for it, for each image, if no attack ever succeeds.

    That is the most that it can cost: every image is classified correctly, and a radius of 0 keeps it so.
    """
    training = engine.training
    settings, device = training.settings, training.device
    harmless = settings.model_copy(update={"attack": settings.attack.model_copy(update={"epsilon": 0.0})})
    images, _ = synthetic_images(TEST_IMAGES[device.type])
    resident = images.to(device).contiguous(memory_format=torch.channels_last)
    labels: list[Tensor] = []
    draws = Draws(settings.train.seed, Purpose.TEST, 0)

    def measure() -> Timed:
        if not labels:
            labels.append(_predictions(training, resident))
        pictures = ImageSet(resident, labels[0])

        def work() -> object:
            attacks = Attacks.on_test_set(harmless)
            return evaluate(training.classifier, pictures, attacks, engine.measure, draws, lambda *_: None)

        return _timed(work, device, len(resident))[0]

    return measure


def synthetic_images(count: int) -> tuple[Tensor, Tensor]:
    """Return random smooth pictures with some noise (uint8, N x 3 x 32 x 32) and random labels (int64, N)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=SIZE, mode="bilinear")
    noisy = smooth + 0.05 * torch.randn(smooth.shape, generator=generator)
    return to_uint8(noisy.clamp(0, 1)), torch.randint(CLASSES, (count,), generator=generator)


def median_loss(settings: Settings) -> float:
    """Return the median natural loss of a batch before training: as threshold, it halves the batch."""
    images, labels = synthetic_images(settings.train.batch_size)
    with torch.no_grad():
        losses = F.cross_entropy(_fresh_network(settings)(to_float(images)), labels, reduction="none")
    return losses.quantile(0.5).item()


def _timed(work: Callable[[], object], device: torch.device, parts: int) -> tuple[Timed, Any]:
    """Return the wall and CPU seconds of each of `parts` that the work consists of, and what the work returned."""
    devices.wait_for(device)
    began, cpu_began = time.perf_counter(), time.process_time()
    found = work()
    devices.wait_for(device)
    return Timed((time.perf_counter() - began) / parts, (time.process_time() - cpu_began) / parts), found


def _fresh_network(settings: Settings) -> Classifier:
    torch.manual_seed(settings.train.seed)
    return Classifier(build(settings.model, 3, CLASSES), MEAN, STD).train()


@torch.no_grad()
def _predictions(training: Training, images: Tensor) -> Tensor:
    classifier = training.classifier.eval()
    try:
        with devices.autocast(training.device, training.precision):
            return torch.cat([classifier(to_float(part)).argmax(1) for part in torch.split(images, 512)])
    finally:
        classifier.train()


def _epoch_after_warmup(settings: Settings) -> int:
    return int(settings.train.span * settings.dom.warmup) + 1
