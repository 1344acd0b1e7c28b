"""What a long PGD-10 run makes of compiling, with a cold cache of these shapes.

Found: `settle_s`, `about` (as environment.json has it), `paces` (seconds of a pass for the images and of one for the
parameters, each way), `ms` and `host_ms` of a step after it, `written_ms` before, `peak_bytes`.
"""

from __future__ import annotations

import time

from stage_report import Place, Report
from stage_training import (
    described,
    device_of,
    engine_of,
    forget_peak,
    milliseconds,
    recorder_of,
    settings_of,
    timed_steps,
    training_of,
)

from domcli.computation import Computation
from domcli.trainer import device as devices
from domcli.trainer.fast import cuda
from domcli.trainer.fast.recorded import RecordingEngine
from domcli.trainer.fast.remembered import conditions, recall

STEPS = 20


def run(place: Place, report: Report) -> None:
    """Time steps as written, settle as a long run does, and time steps again."""
    settings = settings_of(place, "pgd-10")
    training = training_of(place, settings, 20 * settings.train.batch_size)
    engine = engine_of(place, training, "graphs")
    written, _ = timed_steps(place, engine, STEPS)
    report.keep("written_ms", milliseconds(written))
    report.line(f"as written {1e3 * written:.2f} ms a step")
    del training, engine

    forget_peak(device_of(place))
    training = training_of(place, settings, 20 * settings.train.batch_size)
    engine = RecordingEngine(training, recorder_of(place))
    cuda.LONG = 0.0
    if place.cpu:
        cuda.BACKEND = "eager"  # traced as for a GPU; there is nothing to gain, and compiling takes minutes
    began = time.monotonic()
    cuda.settle(training, engine, Computation(), (50_000, 10_000), recorder_of(place))
    devices.wait_for(training.device)
    settled, about = time.monotonic() - began, described(place, engine)
    report.keep("settle_s", settled)
    report.keep("about", about)
    report.keep("paces", recall(cuda.FILE, conditions(training, training.precision)))
    why = about.get("not_compiled", "")
    report.line(f"settled in {settled:.0f} s: {about.get('network')}{f', {why}' if why else ''}")
    report.expect("Error" not in why, f"the network cannot be compiled or recorded: {why}")
    seconds, issuing = timed_steps(place, engine, STEPS)
    times = {"ms": milliseconds(seconds), "host_ms": milliseconds(issuing)}
    for key, value in {**times, "peak_bytes": devices.peak_memory(training.device)}.items():
        report.keep(key, value)
    report.line(f"then {1e3 * seconds:.2f} ms a step, {written / seconds:.2f} times as fast")
    report.expect("no_graphs" not in engine.describe(), f"not recorded: {engine.describe().get('no_graphs')}")
    report.expect(training.meter.read().is_finite, "a loss is not finite after it")
