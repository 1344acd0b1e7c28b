"""The memorization record: the loss of every training pattern at its latest step, on the device (paper, Section 3)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from domcli import files
from domcli.errors import StorageError
from domcli.events import LOSS_RANGES, Memorization
from domcli.trainer.meter import Totals
from domcli.trainer.passes import StepOutcome

THRESHOLD = "threshold"
"""What checkpoints of earlier versions lack, in which T was the same throughout."""


class MemorizationRecord:
    """Natural and adversarial loss of N patterns, and which were high-confidence when it mattered.

    A pattern is high-confidence while its natural loss is under the threshold. *Original* ones already were at the
    end of the warm-up, *transformed* ones became so after it.
    """

    def __init__(self, patterns: int, threshold: Tensor, device: torch.device) -> None:
        """`threshold` is T until a step has another."""
        self.threshold = threshold.clone()
        self.natural = torch.full((patterns,), torch.inf, device=device)
        self.adversarial = torch.full((patterns,), torch.inf, device=device)
        self.confident_before = torch.zeros(patterns, dtype=torch.bool, device=device)
        self.confident_at_warmup = torch.zeros(patterns, dtype=torch.bool, device=device)

    def note(self, index: Tensor, outcome: StepOutcome) -> None:
        """Keep the losses of the patterns at `index`, the batch of this outcome."""
        self.natural[index] = outcome.natural_loss
        if outcome.robust_loss is not None:
            self.adversarial[index] = outcome.robust_loss
        self.threshold.copy_(outcome.threshold)

    def end_warmup(self) -> None:
        """Remember which patterns are high-confidence now: the original ones."""
        self.confident_at_warmup = self.natural < self.threshold

    def summarise(
        self, totals: Totals, *, after_warmup: bool, attacked: bool, threshold: float | None = None
    ) -> Memorization:
        """Return the counts after an epoch, and take this epoch as the one that the next is compared with.

        `threshold` is T as the settings have it, where it is the same throughout.
        """
        confident = self.natural < self.threshold
        before = self.confident_before
        counts = torch.stack(
            [
                confident.sum(),
                (confident & self.confident_at_warmup).sum(),
                (confident & ~before).sum(),
                (before & ~confident).sum(),
            ]
        ).tolist()
        self.confident_before = confident
        high, original, entered, left = (int(count) for count in counts)
        return Memorization(
            threshold=float(self.threshold) if threshold is None else threshold,
            high_confidence=high,
            original=original if after_warmup else None,
            transformed=high - original if after_warmup else None,
            entered=entered,
            left=left,
            removed=totals.removed,
            augmented=totals.augmented,
            histogram=self._histogram(),
            overlap=self._overlap() if attacked else None,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps."""
        return {
            "natural": self.natural,
            "adversarial": self.adversarial,
            "confident_before": self.confident_before,
            "confident_at_warmup": self.confident_at_warmup,
            THRESHOLD: self.threshold,
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors` returned."""
        for name, value in tensors.items():
            setattr(self, name, value.to(self.natural.device))

    def _histogram(self) -> tuple[int, ...]:
        inner = torch.tensor(LOSS_RANGES[1:], device=self.natural.device)
        ranges = torch.bucketize(self.natural, inner, right=True)
        return tuple(int(n) for n in torch.bincount(ranges, minlength=len(LOSS_RANGES)).tolist())

    def _overlap(self) -> float:
        """Return the share of the most confident tenth by natural loss that is also so by adversarial loss."""
        tenth = max(1, len(self.natural) // 10)
        chosen = torch.zeros(2, len(self.natural), dtype=torch.bool, device=self.natural.device)
        for row, losses in enumerate((self.natural, self.adversarial)):
            chosen[row, torch.argsort(losses, stable=True)[:tenth]] = True
        return int((chosen[0] & chosen[1]).sum()) / tenth


class LossArchive:
    """memorization.npy: natural loss of every pattern after every epoch, float16; NaN where not yet known."""

    def __init__(self, path: Path, epochs: int, patterns: int) -> None:
        """Open the file, or create it with every entry NaN; one with more rows or fewer, of the run when it was to have
        another number of epochs, is written anew with those that it has. Raises StorageError if that is not possible.
        """
        self._path = path
        try:
            if not os.path.lexists(path):
                self._create(epochs, patterns)
            self._rows = self._opened()
        except Exception as error:  # NumPy parses the header as Python, which fails in a dozen ways
            raise StorageError(f"cannot keep the losses in {path}: {error}") from error
        if self._rows.ndim != 2 or self._rows.shape[1] != patterns or self._rows.dtype != np.float16:
            raise StorageError(f"{path} is for other settings: its shape is {self._rows.shape} of {self._rows.dtype}")
        if len(self._rows) != epochs:
            self._resize(epochs, patterns)

    def _opened(self) -> Any:
        handle = files.open_own(self._path, os.O_RDWR)
        try:  # by its descriptor: at its path there may be another by now
            return np.lib.format.open_memmap(f"/proc/self/fd/{handle}", mode="r+")
        finally:
            os.close(handle)

    def _resize(self, epochs: int, patterns: int) -> None:
        kept = self._rows[:epochs]
        try:
            self._create(epochs, patterns, kept)
            self._rows = self._opened()
        except OSError as error:
            raise StorageError(f"cannot keep the losses in {self._path}: {error}") from error

    def _create(self, epochs: int, patterns: int, known: Sequence[Any] = ()) -> None:
        def write(file: IO[bytes]) -> None:
            header = {"descr": "<f2", "fortran_order": False, "shape": (epochs, patterns)}
            np.lib.format.write_array_header_2_0(file, header)
            row = np.full(patterns, np.nan, "<f2").tobytes()
            for one in known:
                file.write(one.tobytes())
            for _ in range(epochs - len(known)):
                file.write(row)

        files.replace(self._path, write)

    def keep(self, epoch: int, losses: Tensor) -> None:
        """Write the row of an epoch (from 0)."""
        self._rows[epoch] = losses.half().cpu().numpy()
        self._rows.flush()
