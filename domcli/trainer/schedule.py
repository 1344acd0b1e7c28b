"""Learning rate and warm-up as functions of the fractional epoch t = epoch + (i + 1) / batches_per_epoch."""

from __future__ import annotations

from domcli.catalogue import SCHEDULES
from domcli.settings import DomSettings, TrainSettings


def fractional_epoch(epoch: int, step: int, steps_per_epoch: int) -> float:
    """Return t of a step; epoch and step count from 0, so t is in (0, epochs]."""
    return epoch + (step + 1) / steps_per_epoch


def learning_rate(t: float, settings: TrainSettings) -> float:
    """Return the learning rate of the step at fractional epoch t.

    The epochs are those that the schedule spans; after them the last rate stays.
    """
    return SCHEDULES[settings.schedule].rate(t, settings.span, settings.max_lr)


def dom_is_active(t: float, dom: DomSettings, epochs: int) -> bool:
    """Return whether the step at fractional epoch t comes after the warm-up; the step that ends it already does."""
    return t >= epochs * dom.warmup


def warmup_ends_with(epoch: int, dom: DomSettings, epochs: int) -> bool:
    """Return whether the warm-up ends in this epoch (from 0): its last step is the first epoch end with DOM active."""
    end = epochs * dom.warmup
    return epoch < end <= epoch + 1
