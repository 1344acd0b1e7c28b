"""A whole step of every engine against the numbers of the official functions: the algorithm stands once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import tiny
import torch
from test_golden import CASES, CLOSE, MEAN, STD, Golden
from torch import Tensor, nn

from domcli.trainer import attacks
from domcli.trainer.bench.calling import calling
from domcli.trainer.data import Dataset, ImageSet
from domcli.trainer.engine import Engine
from domcli.trainer.fast.recorded import RecordingEngine
from domcli.trainer.models import Classifier
from domcli.trainer.optimizer import SGD
from domcli.trainer.passes import StepOutcome
from domcli.trainer.state import Training
from domcli.trainer.step import train_step


class Stepped:
    """A training of the linear model that was recorded, which has done the recorded step."""

    def __init__(self, golden: Golden, engine_of: Callable[[Training], Engine], operate: str) -> None:
        images, labels = golden["images"], golden["labels"]
        self.training = _training(golden, operate)
        engine = engine_of(self.training)
        seen: list[StepOutcome] = []
        note = self.training.record.note
        self.training.record.note = lambda index, outcome: (seen.append(outcome), note(index, outcome))[1]  # type: ignore[func-returns-value]
        self.training.lr.fill_(0.1)
        train_step(self.training, engine, torch.arange(len(labels)), images, labels, dom_active=True)
        (self.outcome,) = seen


def _training(golden: Golden, operate: str) -> Training:
    """Return a training with the recorded weights, attack and threshold, of images that nobody needs."""
    settings = tiny.settings(
        "pgd-dom-re",
        f"dom.threshold={golden.number('threshold')}",
        f"dom.iterations={int(golden.number('iterations'))}",
        f"dom.strength={golden.number('strength')}",
        f"dom.operate={operate}",
    )
    nobody = ImageSet((golden["images"] * 255).to(torch.uint8), golden["labels"])
    training = Training.fresh(settings, Dataset(nobody, nobody, tuple("abcdefghij"), MEAN, STD), torch.device("cpu"))
    training.classifier = Classifier(nn.Sequential(nn.Flatten(), golden.linear), MEAN, STD).train()
    training.optimizer = SGD(training.classifier.parameters(), 0.9, 5e-4)
    flip = None if operate == "remove" else lambda images: 1 - images.flip(-1)
    training.plan = dataclasses.replace(training.plan, attack=golden.attack, distract=flip)
    return training


def recording(training: Training) -> Engine:
    """Return an engine that goes through masks, as on a GPU, and calls what is recorded there."""
    engine = RecordingEngine(training, calling)
    engine._gathers = False
    return engine


@pytest.mark.parametrize("engine_of", [Engine, recording])
@pytest.mark.parametrize("case", CASES)
def test_a_step_that_removes(case: str, engine_of: Callable[[Training], Engine], monkeypatch) -> None:
    golden = Golden(case)
    monkeypatch.setattr(attacks, "random_start", lambda images, attack: golden["noise"])
    stepped = Stepped(golden, engine_of, "remove")
    torch.testing.assert_close(stepped.outcome.natural_loss, golden["natural_loss"], **CLOSE)
    torch.testing.assert_close(stepped.outcome.robust_loss, golden["adversarial_loss"], **CLOSE)
    assert torch.equal(~stepped.outcome.removed, golden["kept"])
    torch.testing.assert_close(golden.linear.weight.detach(), golden["weight_after"], **CLOSE)
    torch.testing.assert_close(golden.linear.bias.detach(), golden["bias_after"], **CLOSE)


@pytest.mark.parametrize("engine_of", [Engine, recording])
@pytest.mark.parametrize("case", CASES)
def test_a_step_that_augments(case: str, engine_of: Callable[[Training], Engine], monkeypatch) -> None:
    golden, attacked = Golden(case), []

    def start(images: Tensor, attack: attacks.Attack) -> Tensor:
        attacked.append(images.clone())
        return golden["noise"]

    monkeypatch.setattr(attacks, "random_start", start)
    stepped = Stepped(golden, engine_of, "augmix")
    torch.testing.assert_close(attacked[0], golden["augmented"], **CLOSE)
    assert torch.equal(stepped.outcome.augmented, golden["natural_loss"] <= golden.number("threshold"))
    assert not stepped.outcome.removed.any()
