"""Layers of a plain network swapped for ones that compute the same faster: its parameters stay what and where they are.

What is not known here stays as it is. Batch norm over a subset of a batch is one of these layers' abilities; a network
whose other layers mix the images of a batch cannot do that, and its subsets are gathered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from domcli.trainer.fast.convolution import FastConv2d
from domcli.trainer.fast.normalisation import FastBatchNorm2d, FastBatchNormReLU
from domcli.trainer.models.normalisation import BatchNormReLU


def convert(network: nn.Module) -> None:
    """Swap the layers of a network, in place, that can be computed faster; done twice it changes nothing more."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d and FastConv2d.takes(layer):
            FastConv2d.swap(layer)
        elif type(layer) is nn.BatchNorm2d and FastBatchNorm2d.takes(layer):
            FastBatchNorm2d.swap(layer)
        elif type(layer) is BatchNormReLU and FastBatchNorm2d.takes(layer):
            FastBatchNormReLU.swap(layer)


def takes_subsets(network: nn.Module) -> bool:
    """Tell whether a converted network can take batch statistics from a subset (see statistics_of)."""
    return all(isinstance(layer, FastBatchNorm2d) for layer in network.modules() if isinstance(layer, _BatchNorm))


@contextmanager
def statistics_of(network: nn.Module, subset: Tensor) -> Iterator[None]:
    """Have batch norm take its statistics from the images of a subset (N booleans) alone, in train mode.

    The logits of these images, and what becomes of the running statistics, are then those of a pass of the subset by
    itself; the other logits mean nothing. No gradients go through such a pass.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, FastBatchNorm2d)]
    for layer in layers:
        layer.subset = subset
    try:
        yield
    finally:
        for layer in layers:
            layer.subset = None
