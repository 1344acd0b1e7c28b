"""Wide ResNet-34-10 (Zagoruyko and Komodakis, 2016) as used in adversarial training, 46,160,474 parameters."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from domcli.trainer.models.convolution import Conv2d

STEM = 16


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU; a 1x1 shortcut where the channels change."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = Conv2d(in_channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3)
        self.shortcut: Conv2d | None = None
        if in_channels != channels:
            self.shortcut = Conv2d(in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x), inplace=True)
        carried = x if self.shortcut is None else self.shortcut(activated)
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated)), inplace=True))
        return out + carried


class WideResNet(nn.Module):
    """Three stages of `depth_per_stage` blocks; the second and third halve the image."""

    def __init__(self, depth_per_stage: int, stem: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, stem, 3)
        stages: list[nn.Module] = []
        in_width = stem
        for stage in range(3):
            for block in range(depth_per_stage):
                stages.append(WideBlock(in_width, width * 2**stage, 2 if stage > 0 and block == 0 else 1))
                in_width = width * 2**stage
        self.blocks = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(in_width)
        self.linear = nn.Linear(in_width, classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * math.prod(module.kernel_size)
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, N x classes, of normalised images, N x C x H x W."""
        out = F.relu(self.bn(self.blocks(self.conv1(x))), inplace=True)
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def wideresnet34(width: int, channels: int, classes: int) -> WideResNet:
    """Return WideResNet-34; width 64 is the published widening of 10 (160 channels in the first stage)."""
    scaled = max(1, round(STEM * 10 * width / 64))
    stem = max(1, round(STEM * width / 64))
    return WideResNet(5, stem, scaled, channels, classes)
