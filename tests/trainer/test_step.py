"""The training step: what is trained on, how many passes it takes, and what they leave behind."""

from __future__ import annotations

import pytest
import tiny
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from domcli.trainer import step as step_module
from domcli.trainer.attacks import Attack
from domcli.trainer.augment import crop_and_flip
from domcli.trainer.engine import Engine
from domcli.trainer.fast.convert import convert
from domcli.trainer.models import Classifier
from domcli.trainer.passes import StepOutcome
from domcli.trainer.state import Training
from domcli.trainer.step import train_step


class Watched:
    """A training whose network counts its passes and the gradients that are computed for its weights."""

    def __init__(self, preset: str, *overrides: str) -> None:
        self.training: Training = tiny.training(preset, *overrides)
        convert(self.training.classifier)
        self.engine = Engine(self.training)
        self.passes: list[tuple[int, bool, bool]] = []
        self.weight_gradients = 0
        self.training.classifier.register_forward_pre_hook(self._count)
        first = self.training.classifier.network.get_parameter("conv1.weight")
        first.register_hook(self._count_gradient)
        self.index = torch.arange(32)
        torch.manual_seed(0)
        self.images = crop_and_flip(self.training.dataset.train.images, self.index)
        self.labels = self.training.dataset.train.labels[self.index]

    def _count(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.passes.append((len(inputs[0]), torch.is_grad_enabled(), module.training))

    def _count_gradient(self, gradient: Tensor) -> None:
        self.weight_gradients += 1

    def step(self, dom_active: bool, threshold: float | None = None) -> StepOutcome:
        """Do a step that leaves the parameters as they are, and return what it saw."""
        seen: list[StepOutcome] = []
        if threshold is not None:
            self.training.threshold.fill_(threshold)
        self.training.meter.add = seen.append  # type: ignore[method-assign]
        self.training.lr.zero_()
        torch.manual_seed(1)
        train_step(self.training, self.engine, self.index, self.images, self.labels, dom_active)
        (outcome,) = seen
        return outcome


@pytest.mark.parametrize(
    ("preset", "passes"),
    [("natural-dom-re", 1), ("natural-baseline", 1), ("fgsm-dom-re", 3), ("pgd-dom-re", 2 + 2), ("pgd-baseline", 4)],
)
@pytest.mark.parametrize("dom_active", [False, True])
def test_a_step_takes_no_pass_too_many(preset: str, passes: int, dom_active: bool) -> None:
    watched = Watched(preset)
    watched.step(dom_active)
    assert len(watched.passes) == passes
    assert all(training for _, _, training in watched.passes)
    assert watched.weight_gradients == 1
    with_graph = [graph for _, graph, _ in watched.passes]
    assert with_graph == ([True] if passes == 1 else [False] + [True] * (passes - 1))


def test_natural_augmentation_takes_a_second_pass_only_when_something_was_augmented() -> None:
    watched = Watched("natural-dom-randaugment")
    assert not watched.step(dom_active=True, threshold=1e-6).augmented.any()
    assert len(watched.passes) == 1
    watched.passes.clear()
    assert watched.step(dom_active=True, threshold=1e6).augmented.all()
    assert [(count, graph) for count, graph, _ in watched.passes] == [(32, True), *[(32, False)] * 3, (32, True)]
    watched.passes.clear()
    assert not watched.step(dom_active=False, threshold=1e6).augmented.any()
    assert len(watched.passes) == 1


def test_removed_patterns_are_attacked_and_normalised_with_but_carry_no_loss() -> None:
    watched = Watched("pgd-dom-re")
    natural = watched.step(dom_active=False).natural_loss
    threshold = float(natural.median()) + 1e-4
    network = watched.training.classifier.network
    network.zero_grad()
    perturbed: list[Tensor] = []
    handle = watched.training.classifier.register_forward_pre_hook(lambda _, inputs: perturbed.append(inputs[0]))
    outcome = watched.step(dom_active=True, threshold=threshold)
    handle.remove()
    assert torch.equal(outcome.removed, natural < threshold)
    assert 0 < int(outcome.removed.sum()) < 32
    found = network.get_parameter("linear.bias").grad
    assert found is not None
    reference = F.softmax(watched.training.classifier(perturbed[-1]), 1) - F.one_hot(watched.labels, 10)
    expected = (reference * (~outcome.removed).unsqueeze(1)).sum(0) / 32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    moved = (perturbed[-1] - watched.images).flatten(1).abs().amax(1)
    assert (moved[outcome.removed] > 0).all()


def test_nothing_is_removed_before_the_end_of_the_warmup() -> None:
    watched = Watched("natural-dom-re")
    assert not watched.step(dom_active=False, threshold=1e6).removed.any()
    assert watched.step(dom_active=True, threshold=1e6).removed.all()
    gradients = [parameter.grad for parameter in watched.training.classifier.parameters()]
    assert all(gradient is not None for gradient in gradients)


def test_the_attack_and_the_update_see_the_augmented_images(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched("fgsm-dom-augmix")
    attacked: list[Tensor] = []
    real = step_module.perturb

    def spy(loss_of: object, images: Tensor, labels: Tensor, attack: Attack) -> Tensor:
        attacked.append(images)
        return real(loss_of, images, labels, attack)  # type: ignore[arg-type]

    monkeypatch.setattr(step_module, "perturb", spy)
    outcome = watched.step(dom_active=True, threshold=1e6)
    assert outcome.augmented.all()
    assert not torch.equal(attacked[0], watched.images)
    clean = watched.training.classifier(watched.images)
    expected = F.cross_entropy(clean, watched.labels, reduction="none")
    torch.testing.assert_close(outcome.natural_loss, expected, rtol=1e-4, atol=1e-4)


def test_the_outcome_judges_natural_and_perturbed_images() -> None:
    watched = Watched("pgd-dom-re")
    outcome = watched.step(dom_active=False)
    assert outcome.robust_loss is not None
    assert outcome.robust_correct is not None
    assert outcome.robust_loss.mean() > outcome.natural_loss.mean()
    natural = Watched("natural-dom-re").step(dom_active=False)
    assert natural.robust_loss is None
    assert natural.natural_loss.dtype == torch.float32


def test_batch_norm_sees_each_natural_batch_once() -> None:
    watched = Watched("natural-dom-re")
    layer, seen = watched.training.classifier.network.get_submodule("bn"), []
    layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].mean((0, 2, 3))))
    watched.step(dom_active=True)
    (means,) = seen
    torch.testing.assert_close(layer.get_buffer("running_mean"), 0.1 * means.detach())


@pytest.mark.parametrize("preset", ["pgd-dom-re", "natural-dom-augmix"])
def test_nothing_is_counted_in_a_pass(preset: str) -> None:
    watched = Watched(preset)
    watched.step(dom_active=True, threshold=2.3)
    buffers = watched.training.classifier.network.named_buffers()
    counters = [buffer for name, buffer in buffers if name.endswith("num_batches_tracked")]
    assert len(counters) == 17
    assert all(int(counter) == 0 for counter in counters)


def test_a_networks_state_tells_how_many_batches_it_was_trained_on() -> None:
    training = tiny.training("natural-dom-re")
    training.epoch, training.step = 2, 1  # 70 images in batches of 32 are three steps an epoch
    state = training.classifier.weights(training.batches)
    assert state.keys() == training.classifier.network.state_dict().keys()
    assert {int(value) for name, value in state.items() if name.endswith("num_batches_tracked")} == {7}
    torch.testing.assert_close(state["conv1.weight"], training.classifier.network.get_parameter("conv1.weight"))


def test_bfloat16_keeps_losses_and_decisions_in_float32() -> None:
    watched = Watched("pgd-dom-re")
    with torch.autocast("cpu", torch.bfloat16):
        outcome = watched.step(dom_active=True)
    assert outcome.natural_loss.dtype == torch.float32
    in_float32 = Watched("pgd-dom-re").step(dom_active=True)
    torch.testing.assert_close(outcome.natural_loss, in_float32.natural_loss, rtol=0.1, atol=0.1)
    gradient = watched.training.classifier.network.get_parameter("conv1.weight").grad
    assert gradient is not None
    assert gradient.dtype == torch.float32


def test_the_classifier_normalises_and_takes_a_single_small_image_in_train_mode() -> None:
    plain = Classifier(nn.Flatten(), (0.5, 0.25), (0.5, 0.125))
    logits = plain(torch.full((2, 2, 2, 2), 0.75))
    assert logits.tolist() == [[0.5] * 4 + [4.0] * 4] * 2
    training = tiny.training("natural-dom-re")
    one = training.dataset.train.images[:1].float() / 255
    assert training.classifier(one).shape == (1, 10)
