"""The nine settings of the paper, made small, against what they gave before the step was written once.

`preset_epochs.json` has their epochs, in float32 on one thread, as the earlier code computed them: there the new code
gave the same bits. On other CPUs and with other versions of PyTorch they differ in the last digits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "preset_epochs.json").read_text(encoding="utf-8"))
OVERRIDES = ("train.max_lr=0.02", "dom.threshold=2.3", "data.train_images=64")
"""Whole batches, small steps: a difference in the last digit stays one."""


def numbers(epoch: Any, place: str = "") -> dict[str, Any]:
    """Return every number of an epoch by its place."""
    if not isinstance(epoch, dict | list):
        return {place: epoch}
    items = epoch.items() if isinstance(epoch, dict) else enumerate(epoch)
    return {key: value for name, part in items for key, value in numbers(part, f"{place}.{name}").items()}


@pytest.mark.parametrize("preset", sorted(RECORDED))
def test_a_preset_trains_as_it_did(preset: str, tmp_path: Path) -> None:
    run = tiny.make_run(tmp_path, preset, *OVERRIDES)
    tiny.train_here(run)
    found = tiny.lasting(run)
    assert len(found) == len(RECORDED[preset]) == 4
    for epoch, recorded in zip(found, RECORDED[preset], strict=True):
        before, now = numbers(recorded), numbers(epoch)
        absent = {key for key, value in before.items() if value is None}
        assert absent == {key for key in before if now[key] is None}
        expected = {key: value for key, value in before.items() if key not in absent}
        assert {key: now[key] for key in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_what_was_recorded_says_something() -> None:
    for preset, epochs in RECORDED.items():
        acted = [epoch["memorization"]["removed" if preset.endswith("-re") else "augmented"] for epoch in epochs]
        assert acted[0] == 0  # within the warm-up
        assert 0 < acted[-1] < 64
