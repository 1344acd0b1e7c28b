"""DOM_RE: high-confidence patterns carry no loss (paper, Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor


def remove(confident: Tensor) -> Tensor:
    """Return the weights of the losses: 0 for high-confidence patterns, 1 for the others."""
    return torch.logical_not(confident)
