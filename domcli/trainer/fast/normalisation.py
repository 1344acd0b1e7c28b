"""Batch norm that can take its statistics from a subset of a batch; on a CPU one operation with the ReLU behind."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from domcli.trainer.native import operations


class FastBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d; the same parameters and running statistics, and the same result up to rounding.

    Nothing is counted in a pass: on a GPU that was one in thirteen of its kernels. Who keeps a network knows how many
    batches it has seen, and says so in `num_batches_tracked` (see `Classifier.weights`).
    """

    subset: Tensor | None
    """The images (N booleans) of which the statistics are taken; None: of all."""

    @classmethod
    def takes(cls, layer: nn.BatchNorm2d) -> bool:
        """Tell whether a layer is of the usual kind: with parameters, and statistics that move by a momentum."""
        return bool(layer.affine and layer.track_running_stats and layer.momentum is not None)

    @classmethod
    def swap(cls, layer: nn.BatchNorm2d) -> None:
        """Have a layer be computed so from now on; its parameters and statistics stay where they are."""
        layer.__class__ = cls
        assert isinstance(layer, cls)
        layer.subset = None

    def forward(self, x: Tensor) -> Tensor:
        """Return what nn.BatchNorm2d makes of N x C x H x W, up to rounding."""
        if self.subset is not None:
            return self._of_subset(x, self.subset)
        running, affine = (self.running_mean, self.running_var), (self.weight, self.bias)
        return F.batch_norm(x, *running, *affine, self.training, self.momentum or 0.0, self.eps)

    @torch.no_grad()
    def _of_subset(self, x: Tensor, subset: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        among = subset.view(-1, 1, 1, 1)
        count = subset.sum() * (x.shape[2] * x.shape[3])
        values = x.float()
        mean = torch.where(among, values, 0.0).sum((0, 2, 3)) / count.clamp_min(1)
        centred = values - mean.view(1, -1, 1, 1)
        variance = torch.where(among, centred, 0.0).square().sum((0, 2, 3)) / count.clamp_min(1)
        momentum = (self.momentum or 0.0) * (count > 0)  # without images nothing has passed
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / (count - 1).clamp_min(1), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)


class FastBatchNormReLU(FastBatchNorm2d):
    """The same with a ReLU behind it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what nn.BatchNorm2d and a ReLU make of N x C x H x W, up to rounding."""
        if self.subset is not None or not (operations.in_use(x) and x.shape[1] % operations.CHANNELS == 0):
            return F.relu(super().forward(x), inplace=True)
        x = x.contiguous(memory_format=torch.channels_last)
        mean, variance = self._statistics(x)
        out: Tensor = operations.BatchNormReLU.apply(x, self.weight, self.bias, mean, variance, self.eps, self.training)
        return out

    @torch.no_grad()
    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert self.running_mean is not None
        assert self.running_var is not None
        if not self.training:
            return self.running_mean, self.running_var
        assert self.momentum is not None
        mean, variance = operations.statistics(x)
        count = x.numel() // x.shape[1]
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
        return mean, variance
