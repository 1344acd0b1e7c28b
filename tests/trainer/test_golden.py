"""Single steps of a linear model against numbers of the official functions, through the functions training calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from domcli.trainer.attacks import Attack, perturb_from
from domcli.trainer.distraction import augment_iteratively, kept_patterns, patterns_to_augment, weighted_mean
from domcli.trainer.models import Classifier
from domcli.trainer.operations.remove import remove
from domcli.trainer.optimizer import SGD
from domcli.trainer.passes import loss_of

CASES = ["linf_pgd", "linf_fgsm", "l2_pgd"]
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


class Golden:
    """One recorded step and the classifier it was recorded with."""

    def __init__(self, name: str) -> None:
        archive = np.load(Path(__file__).parent.parent / "data" / f"{name}.npz")
        self.values = {key: archive[key] for key in archive.files}
        self.linear = nn.Linear(48, 10)
        with torch.no_grad():
            self.linear.weight.copy_(self["weight"])
            self.linear.bias.copy_(self["bias"])
        self.classifier = Classifier(nn.Sequential(nn.Flatten(), self.linear), MEAN, STD).train()
        self.loss_of = loss_of(self.classifier)
        self.attack = Attack(
            norm="l2" if str(self.values["norm"]) == "l_2" else "linf",
            epsilon=self.number("epsilon"),
            alpha=self.number("alpha"),
            steps=int(self.number("steps")),
            restarts=1,
        )

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.values[key]))

    def number(self, key: str) -> float:
        return float(self.values[key])


@pytest.fixture(params=CASES)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def test_natural_loss(golden: Golden) -> None:
    torch.testing.assert_close(golden.loss_of(golden["images"], golden["labels"]), golden["natural_loss"], **CLOSE)


def test_perturbation_and_adversarial_loss(golden: Golden) -> None:
    perturbation = perturb_from(golden["noise"], golden.loss_of, golden["images"], golden["labels"], golden.attack)
    torch.testing.assert_close(perturbation, golden["perturbation"], **CLOSE)
    loss = golden.loss_of(golden["images"] + perturbation, golden["labels"])
    torch.testing.assert_close(loss, golden["adversarial_loss"], **CLOSE)
    assert golden.linear.weight.grad is None


def test_iterative_augmentation(golden: Golden) -> None:
    def harder(images: Tensor, labels: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        flipped = 1 - images.flip(-1)
        return flipped, golden.loss_of(flipped, labels)

    threshold = golden.number("threshold")
    augmented = augment_iteratively(
        golden["images"],
        golden["labels"],
        patterns_to_augment(golden["natural_loss"], threshold),
        harder,
        threshold=threshold,
        iterations=int(golden.number("iterations")),
        strength=golden.number("strength"),
    )
    torch.testing.assert_close(augmented, golden["augmented"], **CLOSE)


def test_removal_and_the_update(golden: Golden) -> None:
    kept = kept_patterns(golden["natural_loss"], golden.number("threshold"))
    assert torch.equal(kept, golden["kept"])
    optimizer = SGD(golden.linear.parameters(), momentum=0.9, weight_decay=5e-4)
    losses = F.cross_entropy(
        golden.classifier(golden["images"] + golden["perturbation"]), golden["labels"], reduction="none"
    )
    loss = weighted_mean(losses, remove(~kept))
    torch.testing.assert_close(loss, golden["removal_loss"], **CLOSE)
    loss.backward()
    optimizer.step(torch.tensor(0.1, dtype=torch.float64))
    torch.testing.assert_close(golden.linear.weight.detach(), golden["weight_after"], **CLOSE)
    torch.testing.assert_close(golden.linear.bias.detach(), golden["bias_after"], **CLOSE)
