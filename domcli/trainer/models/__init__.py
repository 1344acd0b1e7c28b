"""The networks of the paper, and the classifier that takes images in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from domcli.errors import SettingsError
from domcli.settings import ModelSettings
from domcli.trainer.models.normalisation import BatchNormReLU
from domcli.trainer.models.preactresnet import preactresnet18, wideresnet34

NETWORKS: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "preactresnet18": preactresnet18,
    "wideresnet34-10": wideresnet34,
}
"""What makes each network from its width, channels and classes."""
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
    def statistics_of(self, subset: Tensor) -> Iterator[None]:
        """Have batch norm take its statistics from the images of a subset (N booleans) alone, in train mode.

        The logits of these images, and what becomes of the running statistics, are then those of a pass of the subset
        by itself; the other logits mean nothing. No gradients go through such a pass.
        """
        layers = [layer for layer in self.modules() if isinstance(layer, BatchNormReLU)]
        for layer in layers:
            layer.subset = subset
        try:
            yield
        finally:
            for layer in layers:
                layer.subset = None

    def statistics(self) -> list[Tensor]:
        """Return the running means and variances of batch norm, which passes in train mode move."""
        layers = (layer for layer in self.modules() if isinstance(layer, BatchNormReLU))
        return [layer.get_buffer(name) for layer in layers for name in ("running_mean", "running_var")]

    def weights(self, batches: int) -> dict[str, Tensor]:
        """Return the network's state under its plain names, after training on so many batches."""
        state: dict[str, Tensor] = self.network.state_dict()
        return {name: torch.tensor(batches) if name.endswith(COUNTER) else value for name, value in state.items()}

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits.float()


def build(settings: ModelSettings, channels: int, classes: int) -> nn.Module:
    """Return the freshly initialised network for images of any square size of at least 8.

    Raises SettingsError for a name that is none of NETWORKS.
    """
    network = NETWORKS.get(settings.name)
    if network is None:
        raise SettingsError(f"model.name is {settings.name}, but the networks are {' and '.join(NETWORKS)}")
    return network(settings.width, channels, classes)
