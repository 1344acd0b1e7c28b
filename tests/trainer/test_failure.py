"""Every failure becomes a closing event with a cause and a sentence a person can act on."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from domcli.errors import DataError, NonFiniteLossError, StorageError
from domcli.trainer.failure import explain

CASES = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out-of-memory", "train.batch_size"),
    (RuntimeError("CUDA out of memory. Tried"), "out-of-memory", "train.batch_size"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out-of-memory", "machine"),
    (MemoryError(), "out-of-memory", "machine"),
    (RuntimeError("CUDA error: an illegal memory access\nmore"), "device", "nvidia-smi"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/x"), "storage", "/runs/x"),
    (StorageError("cannot write there"), "storage", "cannot write there"),
    (NonFiniteLossError("training diverged"), "non-finite-loss", "diverged"),
    (KeyError("bug"), "error", "trainer.log"),
]


@pytest.mark.parametrize(("error", "cause", "hint"), CASES)
def test_causes_and_reasons(error: BaseException, cause: str, hint: str) -> None:
    event = explain(error, training=True)
    assert event.cause == cause
    assert hint in event.reason
    assert "\n" not in event.reason


def test_a_setting_or_data_problem_is_a_refusal_only_before_training() -> None:
    error = DataError("no train/ folder in /images")
    assert explain(error, training=False).cause == "refused"
    assert explain(error, training=True).cause == "error"
