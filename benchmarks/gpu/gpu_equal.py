"""Losses of float32 steps, CUDA graphs against one operation at a time, in all nine settings; DOM from step 10 on.

Found, by preset: `plain` and `launching`, the largest relative differences of a loss from the plain engine's and from
those of the same steps called instead of replayed; `same_bits` of each; `acted`, patterns that DOM acted on.

Replaying changes nothing, so launching alone leaves the bits as they are. DOM_DA differs in rounding besides: one
engine gathers the subset of patterns, the other computes the statistics of a subset within the batch.
"""

from __future__ import annotations

import all_presets
import torch
from stage_report import Place, Report
from stage_training import Way, do_steps, engine_of, recorded, settings_of, training_of
from torch import Tensor

from domcli.presets import PARADIGMS
from domcli.trainer.bench.calling import draws_of_the_step_alone

PRESETS = tuple(f"{paradigm}-{method}" for paradigm in PARADIGMS for method in all_presets.DONE_BY)
ON_CPU = ("fgsm-dom-augmix", "pgd-dom-re")
STEPS, FIRST_ACTIVE = 50, 10
TOLERANCE = 2e-3
SETTINGS = ("train.precision=float32", "attack.steps=5", "model.width=16")
"""The width, and the number of PGD's steps, decide nothing about launching."""
LR = 0.01
LOSSES, ACTED = [1, 3], [6, 7]
"""Places in the meter's sums."""


def run(place: Place, report: Report) -> None:
    """Compare all presets."""
    largest, bits = {"plain": 0.0, "launching": 0.0}, {"plain": 0.0, "launching": 0.0}
    presets = ON_CPU if place.cpu else PRESETS
    for preset in presets:
        with draws_of_the_step_alone():
            found = _compared(place, preset)
        report.keep(preset, found)
        for kind in largest:
            difference = found[kind]
            largest[kind] = max(largest[kind], difference)
            bits[kind] += found[f"{kind}_same_bits"]
            what = f"{preset}: losses of {recorded(place)} steps are {difference:.1e} from those of the {kind} ones"
            report.expect(difference <= TOLERANCE, what)
        report.expect(found["acted"] > 0, f"{preset}: DOM acted on no pattern")
        report.expect(found["acted_before"] == 0, f"{preset}: DOM acted before the warm-up's end")
    for kind, difference in largest.items():
        report.line(
            f"{kind}: {bits[kind]:.0f} of {len(presets)} equal to the bit, largest relative difference {difference:.1e}"
        )


def _compared(place: Place, preset: str) -> dict[str, float]:
    augments = not preset.endswith("-re")
    ways: tuple[Way, ...] = ("eager", "called", "graphs") if augments else ("eager", "graphs")
    seen = {way: _losses(place, preset, way) for way in ways}
    graphs, plain, called = seen["graphs"], seen["eager"], seen.get("called", seen["eager"])
    first = min(FIRST_ACTIVE, len(graphs) // 2)
    return {
        "plain": _difference(graphs, plain),
        "plain_same_bits": torch.equal(graphs[:, LOSSES], plain[:, LOSSES]),
        "launching": _difference(graphs, called),
        "launching_same_bits": torch.equal(graphs, called),
        "acted": float(graphs[:, ACTED].sum()),
        "acted_before": float(graphs[:first, ACTED].sum()),
    }


def _losses(place: Place, preset: str, way: Way) -> Tensor:
    """Return the meter's sums of every step (steps x 8)."""
    settings = settings_of(place, preset, *(() if place.cpu else SETTINGS))
    training = training_of(place, settings, 60 * settings.train.batch_size)
    engine = engine_of(place, training, way)
    steps, seen = 4 if place.cpu else STEPS, []
    for step in range(steps):
        do_steps(engine, 1, lr=LR, first=step, dom_active=step >= min(FIRST_ACTIVE, steps // 2))
        seen.append(training.meter.sums.clone())
        training.meter.reset()
    return torch.stack(seen).cpu()


def _difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of a loss, relative to it."""
    mine, others = one[:, LOSSES], other[:, LOSSES]
    return float(((mine - others).abs() / others.abs().clamp_min(1e-9)).max())
