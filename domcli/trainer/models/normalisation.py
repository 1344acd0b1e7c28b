"""Batch norm with the ReLU behind it as one module, so that both can be done in the same pass over the images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BatchNormReLU(nn.BatchNorm2d):
    """max(0, batch norm(x)); the parameters and running statistics are those of nn.BatchNorm2d."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what nn.BatchNorm2d and a ReLU make of N x C x H x W."""
        return F.relu(super().forward(x), inplace=True)
