"""The threshold of the paper's main settings: the same T throughout."""

from __future__ import annotations

from torch import Tensor


def fixed(losses: Tensor, threshold: Tensor) -> Tensor:
    """Return the T of the settings, whatever the losses."""
    del losses
    return threshold
