"""What stages need that do steps themselves: trainings of synthetic images, engines, and the time of steps."""

from __future__ import annotations

import gc
import time
from functools import cache
from typing import Any, Literal

import torch
from stage_report import Place
from torch import Tensor

from domcli.presets import resolve
from domcli.settings import Settings
from domcli.trainer import device as devices
from domcli.trainer import seeding
from domcli.trainer.bench.calling import calling
from domcli.trainer.bench.cases import CASES, STILL
from domcli.trainer.bench.sides import engine_on, median_loss, synthetic_images
from domcli.trainer.engine import Engine
from domcli.trainer.fast.recorded import Recorder, RecordingEngine
from domcli.trainer.seeding import Purpose
from domcli.trainer.state import Training

Way = Literal["eager", "called", "graphs"]
"""One operation at a time; the steps of a recording engine, called; and replayed as CUDA graphs."""
TINY = ("model.width=4", "train.batch_size=8", "attack.steps=2", "evaluation.steps=2", "train.precision=float32")
DIFFERENT_IMAGES = 5000
WARM_UPS = 3


def device_of(place: Place) -> torch.device:
    """Return the device of a stage. Raises DeviceError."""
    return devices.select_device(place.device)


def settings_of(place: Place, case: str, *overrides: str, halved: bool = True) -> Settings:
    """Return the settings of a case or a preset, at the size of the place; `halved`: half of a batch is under T."""
    chosen = [f"train.max_lr={STILL}", *(TINY if place.cpu else ()), *overrides]
    settings = resolve(CASES.get(case, case), chosen)
    if not halved:
        return settings
    threshold = _median_loss(settings.model.width, settings.train.batch_size)
    return resolve(CASES.get(case, case), [*chosen, f"dom.threshold={threshold}"])


@cache
def _median_loss(width: int, batch_size: int) -> float:
    return median_loss(resolve("natural-baseline", [f"model.width={width}", f"train.batch_size={batch_size}"]))


def training_of(place: Place, settings: Settings, images: int) -> Training:
    """Return a fresh training after the warm-up's end, settled as a short run is, with so many images."""
    gc.collect()  # graphs should end before others begin
    pictures, labels = synthetic_images(min(images, DIFFERENT_IMAGES))
    times = -(-images // len(pictures))
    short = settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": 2})})
    return engine_on(
        short, device_of(place), pictures.repeat(times, 1, 1, 1)[:images], labels.repeat(times)[:images]
    ).training


def recorder_of(place: Place) -> Recorder:
    """Return what records on this device: CUDA graphs, or calls in their place on a CPU."""
    if place.cpu:
        return calling
    from domcli.trainer.fast.graphs import record

    return record


def engine_of(place: Place, training: Training, way: Way) -> Engine:
    """Return what does the steps of a training in this way."""
    if way == "eager":
        return Engine(training)
    return RecordingEngine(training, recorder_of(place) if way == "graphs" else calling)


def recorded(place: Place) -> str:
    """Return what steps are called that are recorded on this device."""
    return "called" if place.cpu else "graphs"


def described(place: Place, engine: Engine) -> dict[str, Any]:
    """Return what an engine tells of itself (see Engine.describe), which says graphs of calls, too."""
    return {**engine.describe(), **({"steps": recorded(place)} if place.cpu else {})}


def do_steps(engine: Engine, count: int, *, lr: float = STILL, first: int = 0, dom_active: bool = True) -> None:
    """Do so many steps, from the one with the number `first` on; each draws what belongs to its number."""
    training = engine.training
    for step in range(first, first + count):
        seeding.reseed(0, Purpose.STEP, training.epoch, step)
        engine.step(index_of(training, step), lr, dom_active)


def index_of(training: Training, step: int) -> Tensor:
    """Return which patterns a step is about: batch after batch, from the start again after the last."""
    size = training.settings.train.batch_size
    return torch.arange(step * size, (step + 1) * size, device=training.device) % training.patterns


def timed_steps(place: Place, engine: Engine, count: int) -> tuple[float, float]:
    """Return the seconds of a step, and those in which the host issues it, after some that warm up."""
    count = 1 if place.cpu else count
    device = engine.training.device
    do_steps(engine, min(count, WARM_UPS))
    devices.wait_for(device)
    began = time.perf_counter()
    do_steps(engine, count)
    issued = time.perf_counter()
    devices.wait_for(device)
    return (time.perf_counter() - began) / count, (issued - began) / count


def steps_of(place: Place, count: int) -> int:
    """Return how many steps to do: on a CPU as few as there can be."""
    return min(count, 2) if place.cpu else count


def forget_peak(device: torch.device) -> None:
    """Have peak memory count from now on."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # before it there is nothing that could be reset
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def milliseconds(seconds: float) -> float:
    """Return milliseconds as they are kept: to the microsecond."""
    return round(1e3 * seconds, 3)
