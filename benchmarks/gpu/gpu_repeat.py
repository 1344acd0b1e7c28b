"""The same seed gives the same bits, and a stopped and resumed run equals an undisturbed one.

Found: `same_bits` by case; `resumed` by preset, with the epoch and step of the stop.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file
from stage_report import Place, Report
from stage_training import device_of, do_steps, engine_of, settings_of, steps_of, training_of
from torch import Tensor

from domcli import rundir
from domcli.events import EpochEnd, Stopped
from domcli.presets import from_run, resolve
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.settings import Settings
from domcli.stream import EventReader, EventWriter
from domcli.trainer import loop
from domcli.trainer.evaluate import BATCH
from domcli.trainer.loop import train
from domcli.trainer.stop import StopFlag, StopRequested

CASES = ("natural-remove", "fgsm-remove", "pgd-10-remove", "natural-augmix", "fgsm-randaugment")
STEPS = 8
RESUMED = ("pgd-dom-re", "natural-dom-augmix")
TINY = (
    *("data.train_images=96", "data.test_images=32", "model.width=2", "train.batch_size=32", "train.epochs=4"),
    *("train.precision=float32", "attack.steps=2", "evaluation.steps=2"),
)
LR = 0.05


class StopsAfter(StopFlag):
    """Asks to stop when it has been looked at so many times: at every step, and at every batch of a test."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let nothing before the first step count."""
        yield

    def check(self) -> None:
        """Raise StopRequested when it is time (see StopFlag); looks within a step, as on a CPU, do not count."""
        self._left -= sys._getframe(1).f_globals["__name__"] == loop.__name__
        if self._left == 0:
            self.reason = "asked to by the check"
        super().check()


def run(place: Place, report: Report) -> None:
    """Do everything twice."""
    same = {case: _same_bits(place, case) for case in (CASES[::4] if place.cpu else CASES)}
    report.keep("same_bits", same)
    report.line(f"same seed, same bits: {', '.join(case for case, found in same.items() if found) or 'none'}")
    for case, found in same.items():
        report.expect(found, f"{case}: the same seed gave other parameters after {steps_of(place, STEPS)} steps")
    stops = {preset: _resumed(place, report, preset) for preset in (RESUMED[1:] if place.cpu else RESUMED)}
    report.keep("resumed", stops)
    report.line(f"stopped and resumed: {', '.join(f'{preset} in {where}' for preset, where in stops.items())}")


def _same_bits(place: Place, case: str) -> bool:
    one, other = (_state_after_steps(place, case) for _ in range(2))
    moved = any(not torch.equal(one[name], value) for name, value in _state_after_steps(place, case, 0).items())
    return moved and all(torch.equal(one[name], value) for name, value in other.items())


def _state_after_steps(place: Place, case: str, steps: int = STEPS) -> dict[str, Tensor]:
    settings = settings_of(place, case)
    training = training_of(place, settings, 10 * settings.train.batch_size)
    engine = engine_of(place, training, "graphs")
    do_steps(engine, min(steps, steps_of(place, steps)), lr=LR)
    return {name: value.detach().clone() for name, value in training.classifier.state_dict().items()}


def _resumed(place: Place, report: Report, preset: str) -> str:
    """Compare an undisturbed run with one that is stopped in the middle of an epoch after the warm-up, and resumed."""
    settings = resolve(preset, TINY if place.cpu else (), quick=True)
    whole, broken = (_new_run(place, settings, f"{preset}-{name}") for name in ("whole", "broken"))
    _train(place, whole, StopFlag())
    with contextlib.suppress(StopRequested):
        _train(place, broken, StopsAfter(_looks(place, settings)))
    stopped = EventReader(broken.events).read()[-1]
    if not isinstance(stopped, Stopped):
        report.expect(False, f"{preset}: the run that was asked to stop ended with {type(stopped).__name__}")
        return "nothing"
    _train(place, broken, StopFlag())
    where = f"epoch {stopped.epoch + 1} after step {stopped.step}"
    after_warmup = stopped.epoch >= settings.train.epochs * settings.dom.warmup
    report.expect(
        stopped.step > 0 and after_warmup, f"{preset}: stopped in {where}, not in the middle after the warm-up"
    )
    one, other = _lasting(whole), _lasting(broken)
    report.expect(len(one) == settings.train.epochs, f"{preset}: the undisturbed run has {len(one)} epochs")
    report.expect(one == other, f"{preset}: the epochs of the resumed run are others than those of the undisturbed one")
    for name in _different_tensors(whole.checkpoint("last"), broken.checkpoint("last")):
        report.expect(False, f"{preset}: {name} differs at the end of the resumed run")
    return where


def _looks(place: Place, settings: Settings) -> int:
    """Return after how many looks at the flag a run is in the middle of the epoch that follows its warm-up."""
    steps = -(-(settings.data.train_images or 0) // settings.train.batch_size)
    batches = -(-(settings.data.test_images or 0) // BATCH[device_of(place).type])
    before = int(settings.train.epochs * settings.dom.warmup)
    return before * (steps + batches) + steps // 2 + 1


def _new_run(place: Place, settings: Settings, name: str) -> RunDirectory:
    return rundir.create(place.work / "repeated", name, settings.to_dict(), {})


def _train(place: Place, run: RunDirectory, stop: StopFlag) -> None:
    writer = EventWriter(run.events)
    try:
        train(run, from_run(run), place.device, writer, stop)
    finally:
        writer.close()


def _lasting(run: RunDirectory) -> list[EpochEnd]:
    """Return the epochs of a run without what differs from one moment to the next."""
    volatile = {"time": 0.0, "seq": 0, "train_seconds": 0.0, "test_seconds": 0.0, "memory": None}
    epochs = read_run(run).state.epochs
    return [msgspec.structs.replace(end, images_per_second=None, **volatile) for end in epochs]


def _different_tensors(one: Path, other: Path) -> list[str]:
    mine, others = load_file(one), load_file(other)
    names = sorted(mine.keys() | others.keys())
    return [
        name for name in names if name not in mine or name not in others or not torch.equal(mine[name], others[name])
    ]
