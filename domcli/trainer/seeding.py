"""Randomness as a pure function of (seed, epoch, step): a resumed run draws what an uninterrupted one would have.

All draws come from torch's default generators, seeded anew at each step. Those of AugMix and
RandAugment come from the CPU's alone.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Purpose(IntEnum):
    """What is drawn; different purposes never share a stream."""

    ORDER = 1
    STEP = 2
    TEST = 3
    ATTACK_TRAIN = 4


def seed_for(seed: int, purpose: Purpose, epoch: int, step: int = 0) -> int:
    """Return a well-mixed 64-bit seed for one step of one epoch (both from 0) of the run with this seed."""
    low, high = np.random.SeedSequence([seed, purpose, epoch, step]).generate_state(2, np.uint32)
    return int(high) << 32 | int(low)


def reseed(seed: int, purpose: Purpose, epoch: int, step: int = 0) -> None:
    """Seed the generators of every device for one step."""
    torch.manual_seed(seed_for(seed, purpose, epoch, step))


def order(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the training patterns in an epoch: a permutation of `count`, int64, on the CPU."""
    generator = torch.Generator().manual_seed(seed_for(seed, Purpose.ORDER, epoch))
    return torch.randperm(count, generator=generator)
