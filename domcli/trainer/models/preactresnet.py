"""Pre-activation ResNet-18 for small images (He et al., 2016b), 11,172,170 parameters at width 64 with 10 classes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from domcli.trainer.models.convolution import Conv2d


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU; a 1x1 shortcut where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = Conv2d(in_channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3)
        self.shortcut: Conv2d | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = Conv2d(in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x), inplace=True)
        carried = x if self.shortcut is None else self.shortcut(activated)
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated)), inplace=True))
        return out + carried


class PreActResNet(nn.Module):
    """Four stages of pre-activation blocks; the second to fourth halve the image."""

    def __init__(self, blocks: tuple[int, ...], width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, width, 3)
        stages: list[nn.Module] = []
        in_width = width
        for stage, count in enumerate(blocks):
            out_width = width * 2**stage
            for block in range(count):
                stages.append(PreActBlock(in_width, out_width, 2 if stage > 0 and block == 0 else 1))
                in_width = out_width
        self.blocks = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(in_width)
        self.linear = nn.Linear(in_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, N x classes, of normalised images, N x C x H x W."""
        out = F.relu(self.bn(self.blocks(self.conv1(x))), inplace=True)
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def preactresnet18(width: int, channels: int, classes: int) -> PreActResNet:
    """Return PreActResNet-18 with `width` channels in the first stage (64 as published)."""
    return PreActResNet((2, 2, 2, 2), width, channels, classes)
