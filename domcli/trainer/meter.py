"""Sums over an epoch, kept on the device and read without making it wait."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from domcli.trainer.passes import StepOutcome


@dataclass(frozen=True)
class Totals:
    """Sums over the patterns seen so far in an epoch; losses in nats."""

    seen: int
    natural_loss: float
    natural_correct: int
    robust_loss: float
    robust_correct: int
    high_confidence: int
    removed: int
    augmented: int

    @classmethod
    def of(cls, sums: list[float]) -> Totals:
        seen, natural, natural_correct, robust, robust_correct, *counts = sums
        return cls(int(seen), natural, int(natural_correct), robust, int(robust_correct), *(int(n) for n in counts))

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.natural_loss) and math.isfinite(self.robust_loss)

    def mean(self, total: float) -> float:
        return total / self.seen if self.seen else math.nan


class EpochMeter:
    """Adds up step outcomes in one small float64 tensor on the device."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(8, dtype=torch.float64, device=device)
        self._on_host = torch.zeros(8, dtype=torch.float64, pin_memory=device.type == "cuda")
        self._copied: torch.cuda.Event | None = None

    def add(self, outcome: StepOutcome) -> None:
        """Add a step."""
        natural = outcome.natural_loss
        nothing = natural.new_zeros(())
        robust_loss = nothing if outcome.robust_loss is None else outcome.robust_loss.sum()
        robust_correct = nothing if outcome.robust_correct is None else outcome.robust_correct.sum()
        parts: list[Tensor] = [
            natural.new_full((), len(natural)),
            natural.sum(),
            outcome.natural_correct.sum(),
            robust_loss,
            robust_correct,
            (natural < outcome.threshold).sum(),
            outcome.removed.sum(),
            outcome.augmented.sum(),
        ]
        self.sums += torch.stack([part.double() for part in parts])

    def reset(self) -> None:
        self.sums.zero_()
        self._copied = None

    def read(self) -> Totals:
        """Return the totals now; waits for the device."""
        return Totals.of(self.sums.tolist())

    def peek(self) -> Totals | None:
        """Return recent totals without waiting: on CUDA those whose copy has arrived, None while one is under way."""
        if self.sums.device.type != "cuda":
            return self.read()
        arrived = None
        if self._copied is not None:
            if not self._copied.query():  # type: ignore[no-untyped-call]
                return None
            arrived = Totals.of(self._on_host.tolist())
        self._on_host.copy_(self.sums, non_blocking=True)
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._copied.record()
        return arrived
