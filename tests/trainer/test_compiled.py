"""The compiled network against the classifier that it stands for, traced by PyTorch but not built into kernels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from domcli.catalogue import Residual
from domcli.trainer.fast.compiled import CompiledNetwork
from domcli.trainer.fast.convert import convert, statistics_of
from domcli.trainer.models import Classifier
from domcli.trainer.models.preactresnet import PreActResNet

SIZE = 6


@pytest.fixture(autouse=True)
def _no_traces_of_other_tests() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def classifier() -> Classifier:
    torch.manual_seed(0)
    made = Classifier(PreActResNet(Residual(4, (4,), 1), 3, 5), (0.5,) * 3, (0.25,) * 3).train()
    convert(made)
    return made


def pair() -> tuple[Classifier, Classifier, CompiledNetwork]:
    plain, other = classifier(), classifier()
    return plain, other, CompiledNetwork(other, [SIZE], "aot_eager")


def images(count: int = SIZE) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def traces() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_an_attack_gets_the_gradient_of_the_images_and_the_parameters_none() -> None:
    plain, other, network = pair()
    for mode in (True, False):
        plain.train(mode)
        other.train(mode)
        batch, same = images().requires_grad_(), images().requires_grad_()
        expected = torch.autograd.grad(F.cross_entropy(plain(batch), torch.arange(SIZE) % 5), batch)[0]
        F.cross_entropy(network(same), torch.arange(SIZE) % 5).backward()
        torch.testing.assert_close(same.grad, expected)
    assert all(parameter.grad is None for parameter in other.parameters())
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(other.get_buffer(name), buffer)


def test_an_update_gets_the_gradients_of_the_parameters_and_attacks_see_what_it_changed() -> None:
    plain, other, network = pair()
    for _ in range(2):
        for one, call in ((plain, plain), (other, network)):
            F.cross_entropy(call(images()), torch.arange(SIZE) % 5).backward()
            with torch.no_grad():
                for parameter in one.parameters():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value)
    batch = images().requires_grad_()
    torch.testing.assert_close(network(batch), plain(images()))


def test_the_statistics_may_be_those_of_a_subset() -> None:
    plain, other, network = pair()
    network(images())
    plain(images())
    some = torch.tensor([True, False, True, True, False, False])
    with torch.no_grad(), statistics_of(other, some):
        found = network(images())
    with torch.no_grad():
        torch.testing.assert_close(found[some], plain(images()[some]))
        torch.testing.assert_close(network(images()), plain(images()))


def test_only_the_sizes_named_are_compiled_for_and_each_kind_of_pass_once() -> None:
    _, other, network = pair()
    before = traces()
    for _ in range(3):
        network(images())
        network(images().requires_grad_())
        with torch.no_grad():
            network(images())
            with statistics_of(other, torch.arange(SIZE) < 3):
                network(images())
    assert traces() - before == 4
    assert network(images(SIZE - 1)).shape == (SIZE - 1, 5)
    assert traces() - before == 4
