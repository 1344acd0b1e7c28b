"""Pre-activation residual networks for small images: PreActResNet-18 and Wide ResNet-34-10."""

from __future__ import annotations

import math

from torch import Tensor, nn

from domcli.catalogue.networks import PREACTRESNET18, WIDERESNET34, Residual
from domcli.trainer.models.normalisation import BatchNormReLU


def convolution(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size of the image, but for the stride."""
    return nn.Conv2d(in_channels, channels, kernel, stride=stride, padding=kernel // 2, bias=False)


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU; a 1x1 shortcut where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = BatchNormReLU(in_channels)
        self.conv1 = convolution(in_channels, channels, 3, stride)
        self.bn2 = BatchNormReLU(channels)
        self.conv2 = convolution(channels, channels, 3)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = convolution(in_channels, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.bn1(x)
        carried = x if self.shortcut is None else self.shortcut(activated)
        out: Tensor = self.conv2(self.bn2(self.conv1(activated)))
        return out + carried


class PreActResNet(nn.Module):
    """A 3x3 convolution, stages of pre-activation blocks, batch norm, ReLU, mean over the map and a linear layer.

    `shape` has the channels of stem and stages; every stage but the first halves the image.
    """

    def __init__(self, shape: Residual, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, shape.stem, 3, shape.stride)
        stages: list[nn.Module] = []
        in_channels = shape.stem
        for stage, width in enumerate(shape.widths):
            for block in range(shape.blocks):
                stages.append(PreActBlock(in_channels, width, 2 if stage > 0 and block == 0 else 1))
                in_channels = width
        self.blocks = nn.Sequential(*stages)
        self.bn = BatchNormReLU(in_channels)
        self.linear = nn.Linear(in_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, N x classes, of normalised images, N x C x H x W."""
        out = self.bn(self.blocks(self.conv1(x)))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def preactresnet18(width: int, channels: int, classes: int) -> PreActResNet:
    """Return PreActResNet-18 (He et al., 2016); width 64 is as published, 11,172,170 parameters with 10 classes."""
    return PreActResNet(PREACTRESNET18.scaled(width), channels, classes)


def wideresnet34(width: int, channels: int, classes: int) -> PreActResNet:
    """Return Wide ResNet-34 (Zagoruyko and Komodakis, 2016) as adversarial training uses it.

    Width 64 is the published widening of 10: 160, 320 and 640 channels, 46,160,474 parameters with 10 classes.
    """
    network = PreActResNet(WIDERESNET34.scaled(width), channels, classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
    nn.init.zeros_(network.linear.bias)
    return network
