"""The published networks: sizes, costs, any width and any square image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from domcli.errors import SettingsError
from domcli.settings import ModelSettings
from domcli.trainer.models import Classifier, build


def multiply_adds(network: nn.Module, size: int) -> int:
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        positions = output.shape[2] * output.shape[3] if output.dim() == 4 else 1
        total += module.weight.numel() * positions

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, 3, size, size))
    return total


@pytest.mark.parametrize(("name", "count"), [("preactresnet18", 11_172_170), ("wideresnet34-10", 46_160_474)])
def test_the_published_networks_have_the_published_size(name: str, count: int) -> None:
    with torch.device("meta"):
        network = build(ModelSettings(name=name), 3, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_a_name_that_no_network_has_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^unknown network 'resnet50'; did you mean wideresnet34-10\?$"):
        build(ModelSettings.model_construct(name="resnet50", width=4), 3, 10)


def test_preactresnet18_costs_what_the_literature_says() -> None:
    assert multiply_adds(build(ModelSettings(), 3, 10), 32) == pytest.approx(555.4e6, rel=1e-3)


@pytest.mark.parametrize("name", ["preactresnet18", "wideresnet34-10"])
@pytest.mark.parametrize(("size", "channels", "classes"), [(8, 1, 10), (9, 3, 2), (28, 1, 7), (64, 3, 200)])
def test_any_width_image_size_and_number_of_classes(name: str, size: int, channels: int, classes: int) -> None:
    network = build(ModelSettings(name=name, width=3), channels, classes)
    assert network(torch.rand(2, channels, size, size)).shape == (2, classes)


def test_preactivation_order_and_the_final_batch_norm() -> None:
    torch.manual_seed(0)
    network = build(ModelSettings(width=4), 3, 10).eval()
    with torch.no_grad():
        for block in network.get_submodule("blocks"):
            block.get_parameter("conv2.weight").zero_()
        x = torch.rand(2, 3, 8, 8)
        first = network.get_submodule("conv1")(x)
        block = network.get_submodule("blocks.0")
        assert torch.equal(block(first), first)  # an identity block passes its input on, not the activated one
        halving = network.get_submodule("blocks.2")
        activated = torch.relu(halving.get_submodule("bn1")(first))
        assert torch.equal(halving(first), halving.get_submodule("shortcut")(activated))


def test_buffers_of_other_layers_count_as_what_passes_move() -> None:
    class Counting(nn.Module):
        seen: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

    layers = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=None), Counting())
    classifier = Classifier(layers, (0.5,) * 3, (0.25,) * 3)
    assert len(classifier.statistics()) == 2 + 3 + 1
    state = classifier.weights(7)
    assert (int(state["0.num_batches_tracked"]), int(state["1.num_batches_tracked"])) == (7, 0)
