"""What a run does on its device, one operation after the other: a step, and the measuring of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from domcli import plain
from domcli.trainer import device as devices
from domcli.trainer.attacks import perturb
from domcli.trainer.augment import crop_and_flip
from domcli.trainer.native import operations
from domcli.trainer.step import Network, StepOutcome, loss_of, train_step

if TYPE_CHECKING:
    from domcli.trainer.evaluate import Attacks
    from domcli.trainer.state import Training


COMPILED, WRITTEN = "compiled", "as written"
"""How the network is computed."""


class Engine:
    """Does the steps of a run as they are written."""

    network: Network
    """The run's classifier, or the same computed faster."""

    def __init__(self, training: Training, no_graphs: str | None = None) -> None:
        """`no_graphs` says why nothing is recorded on a GPU, if there is a reason."""
        self._training = training
        self._no_graphs = no_graphs
        self.network = training.classifier
        self.about_network: dict[str, str] = {}
        self._check: Callable[[], None] | None = None
        self._statistics: list[Tensor] = []
        self._before: list[Tensor] = []

    def describe(self) -> dict[str, str]:
        """Return what environment.json says of how steps are done."""
        steps = "one operation at a time" + (f", as {plain.VARIABLE} asks for" if plain.asked_for() else "")
        found = {"steps": steps}
        if self._no_graphs is not None:
            found["no_graphs"] = self._no_graphs
        if self._training.device.type == "cpu":
            found["kernels"] = operations.describe(self._training.precision)
        return {**found, **self.about_network}

    def heed(self, check: Callable[[], None]) -> None:
        """Call `check` before every pass from now on, those of attacks among them; what it raises undoes the step.

        On a CPU a step may take a minute, and the batch of a test several.
        """
        self._check = check
        self._statistics = self._training.classifier.statistics()
        self._before = [values.clone() for values in self._statistics]

    def step(self, index: Tensor, lr: float, dom_active: bool) -> None:
        """Train on the patterns at `index`; every random number is drawn from the default generators."""
        images, labels = self.batch(index)
        with self._whole(), self.arithmetic():
            outcome = self.learn(images, labels, dom_active)
        self.finish(index, lr, outcome)

    def measure(self, pixels: Tensor, labels: Tensor, attacks: Attacks) -> Tensor:
        """Return summed loss and hits of a batch of images in [0, 1], network in eval mode, 3 x 2, float64.

        The rows are natural, PGD, one-step; zero where that is not measured.
        """
        with self.arithmetic():
            return self.attacked_sums(pixels, labels, attacks)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return augmented images in [0, 1] (B x C x H x W) and labels (B) of the patterns at `index`."""
        training = self._training
        images = crop_and_flip(training.dataset.train.images, index)
        if training.plan.augment_all is not None:
            images = training.plan.augment_all(images)
        return images, training.dataset.train.labels[index]

    def learn(self, images: Tensor, labels: Tensor, dom_active: bool) -> StepOutcome:
        """Leave the gradients of the step in the parameters (paper, Algorithm 1)."""
        self._training.optimizer.zero_grad()
        return train_step(self._heeding(), images, labels, self._training.plan, dom_active)

    def finish(self, index: Tensor, lr: float | Tensor, outcome: StepOutcome) -> None:
        """Update the parameters, and note what the step saw."""
        training = self._training
        training.optimizer.step(lr)
        training.record.note(index, outcome)
        training.meter.add(outcome, training.plan.threshold)

    def arithmetic(self) -> torch.autocast:
        """Return the context of the network's passes."""
        return devices.autocast(self._training.device, self._training.precision)

    def attacked_sums(self, pixels: Tensor, labels: Tensor, attacks: Attacks) -> Tensor:
        """See `measure`."""
        network = self._heeding()
        rows = [_sums(network, pixels, labels)]
        for attack in (attacks.pgd, attacks.one_step):
            if attack is None:
                rows.append(torch.zeros_like(rows[0]))
            else:
                perturbed = pixels + perturb(loss_of(network), pixels, labels, attack)
                rows.append(_sums(network, perturbed, labels))
        return torch.stack(rows)

    def _heeding(self) -> Network:
        """Return the network, before each pass of which it is looked whether to go on."""
        check, network = self._check, self.network
        if check is None:
            return network

        def passed(images: Tensor) -> Tensor:
            check()
            return network(images)

        return passed

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Have what is broken off within leave no trace: the parameters do not change before a step's end, but passes
        in train mode move the running statistics of batch norm.
        """
        if self._check is None:
            yield
            return
        torch._foreach_copy_(self._before, self._statistics)
        try:
            yield
        except BaseException:
            torch._foreach_copy_(self._statistics, self._before)
            raise


@torch.no_grad()
def _sums(network: Network, pixels: Tensor, labels: Tensor) -> Tensor:
    logits = network(pixels)
    loss = F.cross_entropy(logits, labels, reduction="sum").double()
    return torch.stack([loss, (logits.argmax(1) == labels).sum().double()])
