"""Times of a step of the three paradigms, after the warm-up, at the paper's size.

Found, by case and way (`plain`, `eager`, `graphs`): `ms`; `loading_ms` of the plain loop; `host_ms`, in which the host
issues a step; `share` of the floor, from 0 to 1 (see domcli/trainer/bench/floor.py); `peak_bytes`. Then `limits`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from stage_report import Place, Report
from stage_training import (
    Way,
    device_of,
    engine_of,
    forget_peak,
    milliseconds,
    recorded,
    settings_of,
    steps_of,
    timed_steps,
    training_of,
)

from domcli.trainer import device as devices
from domcli.trainer.bench import limits
from domcli.trainer.bench.floor import Limits, floor
from domcli.trainer.bench.messages import Job
from domcli.trainer.bench.sides import plain_side

STEPS = {"natural": 100, "fgsm": 50, "pgd-10": 20, "pgd-10-remove": 20}
ON_CPU = ("natural", "pgd-10-remove")
PLAIN_STEPS = {"natural": 20, "fgsm": 12, "pgd-10": 6}
WAYS: tuple[Way, ...] = ("eager", "graphs")
HALF = 0.5
"""The share of patterns under the threshold."""


def run(place: Place, report: Report) -> None:
    """Time the plain loop first: the trainer's settings of PyTorch are not to slow it down."""
    cases = ON_CPU if place.cpu else tuple(STEPS)
    found: dict[str, dict[str, Any]] = {case: {} for case in cases}
    for case, count in ((case, count) for case, count in PLAIN_STEPS.items() if case in cases):
        found[case]["plain"] = _plain(place, case, steps_of(place, count))
        report.keep("steps", found)
    device = device_of(place)
    devices.prepare(device)
    precision = devices.resolve_precision(settings_of(place, "natural").train.precision, device)
    if place.cpu:
        limits.SECONDS = 0.1
    measured = limits.measure_limits(device, precision)
    report.keep("limits", asdict(measured))
    for case in cases:
        for way in WAYS:
            found[case][way] = _timed(place, case, way, STEPS[case], measured, precision)
            report.keep("steps", found)
        report.line(_shown(place, case, found[case]))


def _plain(place: Place, case: str, steps: int) -> dict[str, float]:
    side = plain_side(Job("plain", settings_of(place, case), place.device, steps))
    side["measure"]()  # warms up
    measured = side["measure"]()
    return {"ms": milliseconds(measured.seconds), "loading_ms": milliseconds(measured.loading)}


def _timed(
    place: Place, case: str, way: Way, steps: int, measured: Limits, precision: torch.dtype
) -> dict[str, float | None]:
    device, settings = device_of(place), settings_of(place, case)
    forget_peak(device)
    training = training_of(place, settings, 20 * settings.train.batch_size)
    engine = engine_of(place, training, way)
    seconds, issuing = timed_steps(place, engine, steps)
    least = floor(settings, HALF, str(precision).removeprefix("torch."), measured)
    return {
        "ms": milliseconds(seconds),
        "host_ms": milliseconds(issuing),
        "share": round(least.seconds / seconds, 4),
        "peak_bytes": devices.peak_memory(device),
    }


def _shown(place: Place, case: str, found: dict[str, Any]) -> str:
    graphs, eager, plain = found["graphs"], found["eager"], found.get("plain")
    text = f"{case:14} {recorded(place)} {graphs['ms']:8.2f} ms ({100 * graphs['share']:.0f} % of the floor's speed,"
    text += f" issued in {graphs['host_ms']:.2f}, peak {graphs['peak_bytes'] / 1e6:.0f} MB), eager {eager['ms']:.2f}"
    if plain is None:
        return text
    bare = (plain["ms"] - plain["loading_ms"]) / graphs["ms"]
    return f"{text}, plain loop {plain['ms']:.2f} = {plain['ms'] / graphs['ms']:.1f} x, {bare:.1f} x without loading"
