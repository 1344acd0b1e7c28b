"""Does the host wait for the GPU within an epoch? Found: the calls that waited and how often, by case."""

from __future__ import annotations

import host_waits
from stage_report import Place, Report
from stage_training import engine_of, settings_of, steps_of, training_of

STEPS = {"natural-augmix": 12, "fgsm-randaugment": 12, "pgd-10-remove": 6}
"""Of an epoch: the profiler is slow, and steps are alike."""


def run(place: Place, report: Report) -> None:
    """Profile an epoch of each case."""
    for case, count in list(STEPS.items())[: 1 if place.cpu else None]:
        settings, steps = settings_of(place, case), steps_of(place, count)
        training = training_of(place, settings, steps * settings.train.batch_size)
        engine = engine_of(place, training, "graphs")
        waits = host_waits.waits_of(engine)
        report.keep(case, dict(waits))
        named = ", ".join(f"{name} {times} times" for name, times in sorted(waits.items()))
        report.line(f"{case:18} {steps} steps: {named or 'nothing waits'}")
        report.expect(not waits, f"{case}: the host waits within an epoch: {named}")
        report.expect("no_graphs" not in engine.describe(), f"{case}: {engine.describe().get('no_graphs')}")
        del training, engine
