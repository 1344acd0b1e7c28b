"""The networks as plain PyTorch modules, and the classifier that takes images in [0, 1].

The catalogue has their names and sizes. How they are computed faster is none of their business (see fast.convert).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from domcli.catalogue import NETWORKS, NO_OPTIONS
from domcli.settings import ModelSettings

COUNTER = "num_batches_tracked"
SMALLEST_FOR_ONE = 8
"""Images up to this size leave one value a channel in the last stage of PreActResNet-18."""


class Classifier(nn.Module):
    """A network with the normalisation of its data set as the first thing it does, after any perturbation."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits, N x classes, of images in [0, 1], N x C x H x W."""
        if self.training and len(images) == 1 and images.shape[-1] <= SMALLEST_FOR_ONE:
            # Batch norm refuses a single value a channel; twice the same image has the same mean and no variance.
            return self._logits(images.expand(2, -1, -1, -1))[:1]
        return self._logits(images)

    @contextmanager
    def in_mode(self, *, training: bool) -> Iterator[None]:
        """Have the network in train or evaluation mode for a while."""
        before = self.training
        if training == before:
            yield
            return
        self.train(training)
        try:
            yield
        finally:
            self.train(before)

    def statistics(self) -> list[Tensor]:
        """Return what passes in train mode may move: means and variances of batch norm, other layers' buffers."""
        counters = self._counters()
        return [buffer for name, buffer in self.network.named_buffers() if name not in counters]

    def weights(self, batches: int) -> dict[str, Tensor]:
        """Return the network's state under its plain names, after training on so many batches."""
        state: dict[str, Tensor] = self.network.state_dict()
        counters = self._counters()
        return {name: torch.tensor(batches) if name in counters else value for name, value in state.items()}

    def _counters(self) -> set[str]:
        """Return the counters of passes that nothing depends on, and that need not be counted."""
        layers = ((name, layer) for name, layer in self.network.named_modules() if isinstance(layer, _BatchNorm))
        return {f"{name}.{COUNTER}".lstrip(".") for name, layer in layers if layer.momentum is not None}

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits.float()


def build(settings: ModelSettings, channels: int, classes: int, options: Mapping[str, float] = NO_OPTIONS) -> nn.Module:
    """Return the freshly initialised network for images of any square size that it takes.

    Raises SettingsError for a name that is not in the catalogue.
    """
    network: nn.Module = NETWORKS[settings.name].made(options)(settings.width, channels, classes)
    return network
