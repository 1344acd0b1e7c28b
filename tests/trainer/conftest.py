"""One thread for tiny networks; and what a trainer sets for its whole process is undone after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)
    torch.use_deterministic_algorithms(False)
