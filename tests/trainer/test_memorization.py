"""The memorization record on hand-made losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from domcli import files
from domcli.errors import StorageError
from domcli.events import LOSS_RANGES, Memorization
from domcli.trainer.memorization import LossArchive, MemorizationRecord
from domcli.trainer.meter import Totals
from domcli.trainer.passes import StepOutcome

CPU = torch.device("cpu")


def outcome(natural: list[float], robust: list[float] | None = None) -> StepOutcome:
    nobody = torch.zeros(len(natural), dtype=torch.bool)
    return StepOutcome(
        natural_loss=torch.tensor(natural),
        natural_correct=nobody,
        robust_loss=None if robust is None else torch.tensor(robust),
        robust_correct=None if robust is None else nobody,
        removed=nobody,
        augmented=nobody,
        threshold=torch.tensor(1.0),
    )


def summarise(record: MemorizationRecord, after_warmup: bool = True, attacked: bool = False) -> Memorization:
    totals = Totals(4, 0.0, 0, 0.0, 0, 0, 3, 2)
    return record.summarise(totals, after_warmup=after_warmup, attacked=attacked)


def test_original_and_transformed_patterns_and_who_entered_and_left() -> None:
    record = MemorizationRecord(5, torch.tensor(1.0), CPU)
    everyone = torch.arange(5)
    record.note(everyone, outcome([0.1, 0.2, 1.0, 2.0, 3.0]))
    first = summarise(record, after_warmup=False)
    assert (first.high_confidence, first.entered, first.left) == (2, 2, 0)  # a loss of exactly T is not under it
    assert (first.original, first.transformed) == (None, None)
    record.end_warmup()
    at_the_end = summarise(record)
    assert (at_the_end.original, at_the_end.transformed) == (2, 0)
    record.note(everyone, outcome([0.1, 2.0, 0.5, 0.5, 3.0]))
    later = summarise(record)
    assert (later.high_confidence, later.original, later.transformed) == (3, 1, 2)
    assert (later.entered, later.left) == (2, 1)
    assert (later.removed, later.augmented, later.threshold) == (3, 2, 1.0)
    record.note(everyone, outcome([0.1, 0.5, 0.5, 2.0, 3.0]))
    back = summarise(record)
    assert (back.original, back.transformed) == (2, 1)  # who was original once is original when back


def test_each_pattern_keeps_the_loss_of_its_latest_step() -> None:
    record = MemorizationRecord(4, torch.tensor(1.0), CPU)
    record.note(torch.tensor([2, 0]), outcome([0.5, 2.0], [3.0, 4.0]))
    record.note(torch.tensor([2, 1]), outcome([0.25, 1.5], [5.0, 6.0]))
    assert record.natural.tolist() == [2.0, 1.5, 0.25, torch.inf]
    assert record.adversarial.tolist() == [4.0, 6.0, 5.0, torch.inf]


def test_the_histogram_counts_every_pattern_once() -> None:
    record = MemorizationRecord(8, torch.tensor(1.0), CPU)
    record.note(torch.arange(7), outcome([0.0, 0.49, 0.5, 1.0, 2.4, 2.5, 100.0]))
    assert LOSS_RANGES == (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
    assert summarise(record).histogram == (2, 1, 1, 0, 1, 3)


def test_the_overlap_of_the_most_confident_tenth() -> None:
    record = MemorizationRecord(40, torch.tensor(1.0), CPU)
    natural = [float(n) for n in range(40)]
    adversarial = [100.0] * 40
    adversarial[0], adversarial[1], adversarial[38], adversarial[39] = 0.1, 0.2, 0.3, 0.4
    record.note(torch.arange(40), outcome(natural, adversarial))
    assert summarise(record, attacked=True).overlap == 0.5
    assert summarise(record).overlap is None


def test_the_record_survives_a_checkpoint() -> None:
    record = MemorizationRecord(3, torch.tensor(1.0), CPU)
    record.note(torch.arange(3), outcome([0.1, 0.5, 2.0], [1.0, 2.0, 3.0]))
    record.end_warmup()
    summarise(record)
    restored = MemorizationRecord(3, torch.tensor(1.0), CPU)
    restored.restore({name: value.clone() for name, value in record.tensors().items()})
    for each in (record, restored):
        each.note(torch.tensor([0]), outcome([5.0], [6.0]))
    assert summarise(restored, attacked=True) == summarise(record, attacked=True)


def test_the_archive_keeps_a_row_an_epoch_and_survives_reopening(tmp_path: Path) -> None:
    path = tmp_path / "memorization.npy"
    LossArchive(path, 3, 4).keep(0, torch.tensor([0.5, 1.0, 2.0, 4.0]))
    LossArchive(path, 3, 4).keep(2, torch.tensor([1.0, 1.0, 1.0, 70000.0]))
    kept = np.load(path, allow_pickle=False)
    assert (kept.dtype, kept.shape) == (np.float16, (3, 4))
    assert kept[0].tolist() == [0.5, 1.0, 2.0, 4.0]
    assert np.isnan(kept[1]).all()
    assert kept[2].tolist() == [1.0, 1.0, 1.0, np.inf]


def test_the_archive_stays_the_file_that_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its path there may be another at any moment, put there by who may write in the folder."""
    path, another = tmp_path / "memorization.npy", tmp_path / "another.npy"
    for one in (path, another):
        LossArchive(one, 3, 4)
    before = another.read_bytes()
    opened = files.open_own

    def open_and_swap(*arguments: Any) -> int:
        handle = opened(*arguments)
        path.rename(tmp_path / "moved.npy")
        path.symlink_to(another)
        return handle

    monkeypatch.setattr(files, "open_own", open_and_swap)
    LossArchive(path, 3, 4).keep(0, torch.tensor([0.5, 1.0, 2.0, 4.0]))
    assert another.read_bytes() == before
    assert np.load(tmp_path / "moved.npy")[0].tolist() == [0.5, 1.0, 2.0, 4.0]


def test_an_archive_of_another_shape_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memorization.npy"
    LossArchive(path, 3, 4)
    with pytest.raises(StorageError, match="other settings"):
        LossArchive(path, 3, 5)
    path.write_bytes(b"not numpy")
    with pytest.raises(StorageError, match="cannot keep"):
        LossArchive(path, 3, 4)
