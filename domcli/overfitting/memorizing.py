"""Memorization jumps: patterns that become high-confidence suddenly and for nothing (paper, Section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domcli.events import EpochEnd
from domcli.overfitting.finding import Context, Finding, evaluated, percent

JUMP = 0.10
"""Share of the training set that turns high-confidence beyond what natural test accuracy gains.

The paper's runs turn a quarter of the patterns when the learning rate drops; a network that only gets better turns
about as many as its test accuracy gains. What test accuracy may gain or lose by chance is added.
"""

JUMP_EPOCHS = 3
"""Epochs in which it happens, or one evaluation to the next where these are further apart."""


@dataclass(frozen=True)
class _Patterns:
    """High-confidence patterns after an evaluated epoch, as shares of the training set."""

    epoch: int
    high_confidence: float
    transformed: float
    test: float


def find_jumps(epochs: Sequence[EpochEnd], context: Context) -> list[Finding]:
    """Return every jump; the next is looked for from the end of the one before.

    High-confidence patterns must have grown as well: at the end of the warm-up many only change places.
    """
    found: list[Finding] = []
    known = _after_warmup(epochs)
    start = 0
    for index, now in enumerate(known):
        for earlier in range(index - 1, start - 1, -1):
            then = known[earlier]
            if now.epoch - then.epoch > JUMP_EPOCHS and earlier < index - 1:
                break
            turned = min(now.transformed - then.transformed, now.high_confidence - then.high_confidence)
            gain = max(0.0, now.test - then.test)
            if turned - gain >= JUMP + context.noise(then.test, now.test):
                found.append(_finding(then, now, known[earlier + 1].epoch))
                start = index
                break
    return found


def _after_warmup(epochs: Sequence[EpochEnd]) -> list[_Patterns]:
    shares = []
    for epoch, test in evaluated(epochs):
        counts = epoch.memorization
        if counts is not None and counts.transformed is not None:
            patterns = max(1, sum(counts.histogram))
            high, transformed = counts.high_confidence / patterns, counts.transformed / patterns
            shares.append(_Patterns(epoch.epoch, high, transformed, test.natural_accuracy))
    return shares


def _finding(then: _Patterns, now: _Patterns, epoch: int) -> Finding:
    reason = (
        f"transformed high-confidence patterns went from {percent(then.transformed)} to {percent(now.transformed)} of "
        f"the training set between epochs {then.epoch} and {now.epoch} (all high-confidence patterns from "
        f"{percent(then.high_confidence)} to {percent(now.high_confidence)}), while natural test accuracy only went "
        f"from {percent(then.test)} to {percent(now.test)}"
    )
    return Finding("memorization-jump", epoch, "notice", reason)
