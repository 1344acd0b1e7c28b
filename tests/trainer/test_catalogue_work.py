"""What the catalogue says of networks and data sets, against the networks and the images themselves."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from domcli.catalogue import DATASETS, NETWORKS, Network
from domcli.settings import DataSettings
from domcli.trainer.data import load

LAYERS = (nn.Conv2d, nn.Linear)


class Counted:
    """What a forward pass over one image does, layer by layer."""

    def __init__(self, network: nn.Module) -> None:
        self.multiply_adds = self.activations = 0
        for module in network.modules():
            if isinstance(module, LAYERS):
                module.register_forward_hook(self._count)

    def _count(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, LAYERS)
        positions = output.shape[2] * output.shape[3] if output.dim() == 4 else 1
        self.multiply_adds += module.weight.numel() * positions
        self.activations += output.numel() if isinstance(module, nn.Conv2d) else 0


@pytest.mark.parametrize("entry", list(NETWORKS), ids=lambda entry: entry.name)
@pytest.mark.parametrize(
    ("width", "channels", "classes", "size"),
    [(64, 3, 10, 32), (64, 1, 100, 32), (3, 3, 10, 32), (10, 1, 7, 8), (16, 3, 200, 64), (96, 3, 10, 28), (1, 3, 2, 9)],
)
def test_a_network_is_as_large_as_the_catalogue_says(
    entry: Network, width: int, channels: int, classes: int, size: int
) -> None:
    with torch.device("meta"):
        network = entry.load()(width, channels, classes).eval()
        counted = Counted(network)
        with torch.no_grad():
            assert network(torch.zeros(1, channels, size, size)).shape == (1, classes)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == entry.size.parameters(width, channels, classes)
    assert counted.multiply_adds == entry.size.multiply_adds(width, channels, classes, size)
    assert counted.activations == entry.size.activations(width, channels, size)


@pytest.mark.parametrize("entry", list(NETWORKS), ids=lambda entry: entry.name)
def test_the_smallest_images_of_a_network_are_ones_that_it_takes(entry: Network) -> None:
    network = entry.load()(4, 3, 10).eval()
    assert network(torch.rand(2, 3, entry.smallest, entry.smallest)).shape == (2, 10)


@pytest.mark.parametrize("name", DATASETS.names)
def test_the_work_of_a_data_set_takes_root_entry_and_settings(name: str) -> None:
    found = inspect.signature(DATASETS[name].load(), eval_str=True)
    assert list(found.parameters) == ["root", "entry", "settings"]
    assert found.return_annotation.__name__ == "RawDataset"


def test_the_digits_are_as_the_catalogue_says() -> None:
    entry = DATASETS["digits"]
    found = load(DataSettings(dataset="digits"), torch.device("cpu"))
    assert (len(found.train.labels), len(found.test.labels)) == entry.images
    assert tuple(found.train.images.shape[1:]) == tuple(found.test.images.shape[1:]) == entry.shape
    assert found.classes == entry.classes


@pytest.mark.parametrize("name", DATASETS.names)
def test_statistics_are_known_of_every_channel_or_not_at_all(name: str) -> None:
    entry = DATASETS[name]
    assert (entry.mean is None) == (entry.std is None)
    if entry.mean is not None and entry.std is not None and entry.shape is not None:
        assert len(entry.mean) == len(entry.std) == entry.shape[0]
        assert min(entry.std) > 0
