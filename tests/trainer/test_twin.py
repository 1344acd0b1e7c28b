"""The frozen twin: attacks compute no gradients of parameters, and see every change of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import tiny
import torch
import torch.nn.functional as F

from domcli.plain import VARIABLE as PLAIN
from domcli.trainer import seeding
from domcli.trainer.fast import engine_for
from domcli.trainer.fast.convert import convert
from domcli.trainer.fast.twin import Twins, frozen_twin
from domcli.trainer.native import operations
from domcli.trainer.seeding import Purpose

PLAIN_LAYERS = ("torch.", "domcli.trainer.models")
needs_kernels = pytest.mark.skipif(operations.why_not() is not None, reason=f"no kernels: {operations.why_not()}")


@pytest.fixture(autouse=True)
def _kernels_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(PLAIN, raising=False)
    yield
    operations.use(True)


def test_a_twin_shares_all_memory_and_asks_for_no_gradients() -> None:
    original = tiny.training("pgd-dom-re").classifier
    convert(original)
    twin = frozen_twin(original)
    shared = [*original.parameters(), *original.buffers()], [*twin.parameters(), *twin.buffers()]
    for one, other in zip(*shared, strict=True):
        assert one.data_ptr() == other.data_ptr()
        assert not other.requires_grad
    assert all(parameter.requires_grad for parameter in original.parameters())
    torch.autograd.graph.increment_version(list(original.parameters()))
    assert [one._version for one in original.parameters()] == [one._version for one in twin.parameters()]


def test_attacks_reach_the_images_and_updates_the_parameters() -> None:
    training = tiny.training("pgd-dom-re")
    network, classifier = Twins(training.classifier), training.classifier
    images, labels = torch.rand(4, *training.dataset.train.images.shape[1:]), torch.arange(4)
    for mode in (True, False, True):
        classifier.train(mode)
        attacked, same = images.clone().requires_grad_(), images.clone().requires_grad_()
        F.cross_entropy(network(attacked), labels).backward()
        assert all(parameter.grad is None for parameter in classifier.parameters())
        (expected,) = torch.autograd.grad(F.cross_entropy(classifier(same), labels), same)
        torch.testing.assert_close(attacked.grad, expected)
    F.cross_entropy(network(images), labels).backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())


@needs_kernels
def test_a_step_of_pgd_computes_each_weight_gradient_once(monkeypatch: pytest.MonkeyPatch) -> None:
    training = tiny.training("pgd-dom-re", "model.width=32", "train.precision=bfloat16", "data.train_images=32")
    engine = engine_for(training)
    called: Counter[str] = Counter()
    library = operations._library()

    class Spy:
        def __getattr__(self, name: str) -> object:
            called[name] += 1
            return getattr(library, name)

    monkeypatch.setattr(operations, "_library", lambda: Spy())
    seeding.reseed(0, Purpose.STEP, 0, 0)
    engine.step(torch.arange(32), 0.1, dom_active=False)
    steps = training.settings.attack.steps
    assert called["domcli_weight_gradient"] > 0
    assert called["domcli_input_gradient"] == (steps + 1) * called["domcli_weight_gradient"]
    assert called["domcli_pack_weight"] == 2 * called["domcli_weight_gradient"]  # for both directions, once a step


def test_plain_steps_use_neither_twin_nor_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAIN, "1")
    training = tiny.training("pgd-dom-re", "train.precision=bfloat16")
    engine = engine_for(training)
    assert engine.network is training.classifier
    assert all(type(layer).__module__.startswith(PLAIN_LAYERS) for layer in training.classifier.modules())
    assert engine.describe()["kernels"] == f"PyTorch: {operations.why_not() or 'by choice'}"
