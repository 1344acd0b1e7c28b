"""Times of whole epochs of 50,000 images and tests of 10,000, and from them the hours of every preset.

Found: `paradigms`, with `first_s` (records the graphs), `train_s`, `test_s` and `peak_bytes`; `steps`, with `ms` and
`host_ms` of every case; `presets`, the estimates of domcli/timing/estimate.py, in seconds; `kept_s`, the seconds
between the epochs of a run of the digits with the paper's network, in which checkpoints are written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from stage_report import Place, Report
from stage_runs import between_epochs
from stage_training import (
    TINY,
    device_of,
    engine_of,
    forget_peak,
    milliseconds,
    settings_of,
    timed_steps,
    training_of,
)

from domcli import rundir
from domcli.presets import PARADIGMS as PRESET_PARADIGMS
from domcli.presets import available, from_run, resolve
from domcli.runs import read_run
from domcli.stream import EventWriter, NoSink
from domcli.timing.estimate import Measured, MeasuredEvaluation, MeasuredStep, estimate
from domcli.trainer import device as devices
from domcli.trainer.bench.cases import CASES, PARADIGMS, STEPS, TEST_IMAGES
from domcli.trainer.bench.sides import evaluation
from domcli.trainer.engine import Engine
from domcli.trainer.loop import train, train_epoch
from domcli.trainer.report import ProgressReporter
from domcli.trainer.stop import StopFlag

FEW = ("data.train_images=24", "data.test_images=20")
REPEATED = ("natural", "fgsm")
"""Whose epoch is measured a second time; of PGD-10 recording is a small part."""


def run(place: Place, report: Report) -> None:
    """Time the paradigms' epochs, then a step of every other case, then what lies between epochs."""
    measured, paradigms, steps = Measured(), {}, {}
    for case in PARADIGMS:
        paradigms[case] = _epochs(place, case, measured)
        report.keep("paradigms", paradigms)
        one = paradigms[case]
        report.line(f"{case:8} epoch {one['train_s']:.2f} s (first {one['first_s']:.2f}), test {one['test_s']:.2f} s")
    for case in (name for name in CASES if name not in PARADIGMS):
        steps[case] = _steps(place, case, measured)
        report.keep("steps", steps)
    for paradigm in PARADIGMS:
        named = [f"{case} {one['ms']:.2f}" for case, one in steps.items() if case.startswith(paradigm)]
        report.line("ms a step: " + ", ".join(named))
    presets = _presets(place, measured)
    report.keep("presets", presets)
    for paradigm in () if place.cpu else PRESET_PARADIGMS:
        hours = {name: one["total"] / 3600 for name, one in presets.items() if name.startswith(paradigm)}
        report.line("hours: " + ", ".join(f"{name} {one:.2f}" for name, one in hours.items()))
    kept = _between_epochs(place)
    report.keep("kept_s", kept)
    report.line(f"between two epochs, keeping checkpoints: {1e3 * statistics.median(kept):.0f} ms")


def _epochs(place: Place, case: str, measured: Measured) -> dict[str, float]:
    device, settings = device_of(place), settings_of(place, case)
    forget_peak(device)
    images = 3 * settings.train.batch_size if place.cpu else 50_000
    training = training_of(place, settings, images)
    engine = engine_of(place, training, "graphs")
    epoch = _epoch_of(engine)
    test = evaluation(engine)
    test()  # records
    tested = test().seconds * TEST_IMAGES[device.type]
    first = epoch()
    trained = epoch() if case in REPEATED else first
    measured.add_step(settings, MeasuredStep(case, trained / training.steps_per_epoch))
    measured.add_evaluation(settings, MeasuredEvaluation(case, tested, TEST_IMAGES[device.type]))
    peak = devices.peak_memory(device)
    return {"first_s": first, "train_s": trained, "test_s": tested, "peak_bytes": peak}


def _epoch_of(engine: Engine) -> Callable[[], float]:
    """Return what does an epoch and tells its seconds."""
    training = engine.training
    reporter, stop = ProgressReporter(training, NoSink()), StopFlag()

    def epoch() -> float:
        training.step, training.epoch_seconds = 0, 0.0
        training.meter.reset()
        devices.wait_for(training.device)
        began = time.perf_counter()
        train_epoch(training, engine, reporter, stop)
        return time.perf_counter() - began

    return epoch


def _steps(place: Place, case: str, measured: Measured) -> dict[str, float]:
    settings = settings_of(place, case)
    training = training_of(place, settings, 20 * settings.train.batch_size)
    engine = engine_of(place, training, "graphs")
    seconds, issuing = timed_steps(place, engine, STEPS.of(settings) // 2)
    measured.add_step(settings, MeasuredStep(case, seconds))
    return {"ms": milliseconds(seconds), "host_ms": milliseconds(issuing)}


def _presets(place: Place, measured: Measured) -> dict[str, Any]:
    size = TINY if place.cpu else ()
    return {preset.name: estimate(resolve(preset.name, size), measured) for preset in available()}


def _between_epochs(place: Place) -> list[float]:
    """Train a run of the digits with the paper's network, and return the seconds between its epochs."""
    size = (*TINY, *FEW) if place.cpu else ("model.width=64", "train.batch_size=128")
    settings = resolve("natural-dom-re", ["checkpoint.every=1", *size], quick=True)
    run = rundir.create(place.work / "kept", "kept", settings.to_dict(), {})
    writer = EventWriter(run.events)
    try:
        train(run, from_run(run), place.device, writer, StopFlag())
    finally:
        writer.close()
    return between_epochs(read_run(run).state)
