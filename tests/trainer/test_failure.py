"""Every failure becomes a closing event with a cause and a sentence a person can act on."""

from __future__ import annotations

import errno
import os

import out_of_memory
import pytest

from domcli.errors import DataError, NonFiniteLossError, StorageError
from domcli.memory import is_out_of_memory
from domcli.trainer.failure import explain

CASES = [
    *((error, "out-of-memory", "the GPU ran out of memory; lower train.batch_size") for error in out_of_memory.GPU),
    *((error, "out-of-memory", "the machine ran out of memory; lower train") for error in out_of_memory.MACHINE),
    (RuntimeError("CUDA error: an illegal memory access\nmore"), "device", "nvidia-smi"),
    (RuntimeError("a kernel failed\nCUDA error: misaligned address"), "device", "nvidia-smi"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/x"), "storage", "/runs/x"),
    (StorageError("cannot write there"), "storage", "cannot write there"),
    (NonFiniteLossError("training diverged"), "non-finite-loss", "diverged"),
    (KeyError("bug"), "error", "trainer.log"),
]


@pytest.mark.parametrize(("error", "cause", "hint"), CASES, ids=lambda case: str(case).split("\n")[0][:40])
def test_causes_and_reasons(error: BaseException, cause: str, hint: str) -> None:
    event = explain(error, training=True)
    assert event.cause == cause
    assert hint in event.reason
    assert "\n" not in event.reason


def test_a_setting_or_data_problem_is_a_refusal_only_before_training() -> None:
    error = DataError("no train/ folder in /images")
    assert explain(error, training=False).cause == "refused"
    assert explain(error, training=True).cause == "error"


@pytest.mark.parametrize("error", out_of_memory.OTHER, ids=out_of_memory.name)
def test_what_only_sounds_like_memory_is_called_something_else(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert explain(error, training=True).cause != "out-of-memory"
