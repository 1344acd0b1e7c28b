"""Divergence: losses that are not finite, or that say that nothing is learned any more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from domcli.events import EpochEnd
from domcli.overfitting.finding import Context, Finding

EXPLODED = 1.5
"""Training loss over this many times log(classes), the loss of guessing."""

GUESSING = 0.99
"""Training loss over this many times log(classes) is that of a network that guesses."""

LEARNED = 0.75
"""A network that had a training loss under this many times log(classes) did not guess."""

STAYING = 3
"""Epochs in a row with such a loss; one or two are steps at a learning rate that was too high."""


def find_divergence(epochs: Sequence[EpochEnd], context: Context) -> Finding | None:
    """Return the first epoch with a loss that is not finite, or of STAYING epochs at one that is far too high.

    Too high is EXPLODED, or GUESSING again after having LEARNED.
    """
    guess = math.log(max(2, context.classes))
    lowest, high = math.inf, 0
    for index, epoch in enumerate(epochs):
        broken = _not_finite(epoch)
        if broken is not None:
            return Finding("divergence", epoch.epoch, "critical", f"the {broken} is not finite in epoch {epoch.epoch}")
        loss = _training_loss(epoch)
        if loss >= EXPLODED * guess or (loss >= GUESSING * guess and lowest <= LEARNED * guess):
            high += 1
        else:
            lowest, high = min(lowest, loss), 0
        if high == STAYING:
            return _finding(epochs[index - STAYING + 1].epoch, epoch.epoch, loss, lowest, guess)
    return None


def _finding(first: int, epoch: int, loss: float, lowest: float, guess: float) -> Finding:
    reason = f"the training loss is {loss:.2f} in epoch {epoch}, no better than the {guess:.2f} of guessing"
    if lowest < math.inf:
        reason += f", and was {lowest:.2f} at its best before epoch {first}"
    return Finding("divergence", first, "critical", reason)


def _not_finite(epoch: EpochEnd) -> str | None:
    """Return the name of a loss that is always measured and is null, so not finite."""
    if epoch.train.natural_loss is None:
        return "natural training loss"
    if epoch.train.robust_loss is None and epoch.train.robust_accuracy is not None:
        return "robust training loss"
    return "natural test loss" if epoch.test is not None and epoch.test.natural_loss is None else None


def _training_loss(epoch: EpochEnd) -> float:
    """Return the lower of natural and robust loss: augmentation (DOM_DA) raises one, a collapse (CO) the other."""
    losses = (epoch.train.natural_loss, epoch.train.robust_loss)
    return min(loss for loss in losses if loss is not None)
