"""Progress events: a few a second at the most, taken from the device without making it wait."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

import torch

from domcli.errors import NonFiniteLossError
from domcli.events import Progress
from domcli.stream import EventSink
from domcli.trainer.evaluate import BATCH
from domcli.trainer.meter import Totals
from domcli.trainer.schedule import fractional_epoch, learning_rate
from domcli.trainer.state import Training

INTERVAL = 0.3
"""Least seconds between two events."""


class ProgressReporter:
    """Writes how far the current phase of the current epoch is."""

    def __init__(
        self, training: Training, writer: EventSink, after_first_step: Callable[[], None] | None = None
    ) -> None:
        self._training = training
        self._writer = writer
        self._phase: Literal["train", "test", "attack-train"] = "train"
        self._began = self._next = 0.0
        self._first_step = 0
        self._after_first_step = after_first_step

    def begin(self, phase: Literal["train", "test", "attack-train"]) -> None:
        """Start the clock of a phase."""
        self._phase = phase
        self._began = time.monotonic()
        self._next = self._began + INTERVAL
        self._first_step = self._training.step

    def after_step(self) -> None:
        """Write an event if one is due and the device's sums have arrived. Raises NonFiniteLossError."""
        if self._after_first_step is not None:
            self._after_first_step()
            self._after_first_step = None
        now = time.monotonic()
        if now < self._next:
            return
        totals = self._training.meter.peek()
        if totals is not None:
            refuse_divergence(totals, self._training)
            self._next = now + INTERVAL
            self._write_training(totals, now)

    def after_batch(self, done: int, batches: int) -> None:
        """Write an event of an evaluation if one is due."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + INTERVAL
        dataset = self._training.dataset
        every = len((dataset.test if self._phase == "test" else dataset.train).labels)
        images = min(done * BATCH[self._training.device.type], every)  # the last batch may be smaller
        self._writer.write(
            Progress(
                phase=self._phase,
                epoch=self._training.epoch + 1,
                step=done,
                steps=batches,
                images_per_second=images / (now - self._began),
            )
        )

    def _write_training(self, totals: Totals, now: float) -> None:
        training = self._training
        done_now = (training.step - self._first_step) * training.settings.train.batch_size
        t = fractional_epoch(training.epoch, training.step - 1, training.steps_per_epoch)
        self._writer.write(
            Progress(
                phase="train",
                epoch=training.epoch + 1,
                step=training.step,
                steps=training.steps_per_epoch,
                images_per_second=done_now / (now - self._began),
                lr=learning_rate(t, training.settings.train),
                natural_loss=totals.mean(totals.natural_loss),
                robust_loss=None if training.plan.attack is None else totals.mean(totals.robust_loss),
                seen=totals.seen,
                high_confidence=totals.high_confidence,
                removed=totals.removed,
                augmented=totals.augmented,
            )
        )


def refuse_divergence(totals: Totals, training: Training) -> None:
    """Raise NonFiniteLossError if a loss of this epoch is infinite or not a number."""
    if not totals.is_finite:
        rounded = ', or try train.precision = "float32"' if training.precision == torch.bfloat16 else ""
        raise NonFiniteLossError(
            f"training diverged: a loss stopped being finite in epoch {training.epoch + 1}, by step {training.step}; "
            f"lower train.max_lr{rounded}, in a new run"
        )


def refuse_no_threshold(training: Training) -> None:
    """Raise NonFiniteLossError if the threshold of the last step is infinite or not a number; waits for the device."""
    threshold = float(training.record.threshold)
    if not math.isfinite(threshold):
        raise NonFiniteLossError(
            f"the threshold rule {training.settings.dom.rule} gives T = {threshold} in epoch {training.epoch + 1}, by "
            f"which no pattern can be told from another; mend the rule, in a new run"
        )
