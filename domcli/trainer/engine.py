"""What a run does on its device, one operation after the other: a step, and the measuring of a batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from domcli import plain
from domcli.trainer import device as devices
from domcli.trainer.attacks import perturb
from domcli.trainer.augment import crop_and_flip
from domcli.trainer.evaluate import Attacks
from domcli.trainer.passes import Network, loss_of
from domcli.trainer.state import Training
from domcli.trainer.step import Outputs, Stage, train_step


class Engine:
    """Does the steps of a run as they are written (see step.Way)."""

    def __init__(self, training: Training, no_graphs: str | None = None) -> None:
        """`no_graphs` says why nothing is recorded on a GPU, if there is a reason."""
        self.training = training
        self._no_graphs = no_graphs
        self._fast: Network | None = None
        self.about: dict[str, str] = {}
        self._check: Callable[[], None] | None = None
        self._statistics: list[Tensor] = []
        self._before: list[Tensor] = []

    @property
    def asks(self) -> bool:
        """Whether the host asks which patterns are chosen (see step.Way)."""
        return True

    @property
    def records(self) -> bool:
        """Whether steps are recorded as CUDA graphs."""
        return False

    def describe(self) -> dict[str, str]:
        """Return what environment.json says of how steps are done."""
        steps = "one operation at a time" + (f", as {plain.VARIABLE} asks for" if plain.asked_for() else "")
        found = {"steps": steps}
        if self._no_graphs is not None:
            found["no_graphs"] = self._no_graphs
        return {**found, **self.about}

    @property
    def network(self) -> Network:
        """The run's classifier, or the same computed faster; before each pass it is looked whether to go on."""
        check, network = self._check, self._fast or self.training.classifier
        if check is None:
            return network

        def passed(images: Tensor) -> Tensor:
            check()
            return network(images)

        return passed

    def compute(self, network: Network | None, about: dict[str, str]) -> None:
        """Compute the network so from now on, as it is written where None is given, and tell this `about` it."""
        self._fast, self.about = network, about

    def heed(self, check: Callable[[], None]) -> None:
        """Call `check` before every pass from now on, those of attacks among them; what it raises undoes the step.

        On a CPU a step may take a minute, and the batch of a test several.
        """
        self._check = check
        self._statistics = self.training.classifier.statistics()
        self._before = [values.clone() for values in self._statistics]

    def step(self, index: Tensor, lr: float, dom_active: bool) -> None:
        """Train on the patterns at `index`; every random number is drawn from the default generators."""
        images, labels = self.batch(index)
        self.training.lr.fill_(lr)
        with self._whole(), self.arithmetic():
            train_step(self.training, self, index, images, labels, dom_active)

    def measure(self, pixels: Tensor, labels: Tensor, attacks: Attacks) -> Tensor:
        """Return summed loss and hits of a batch of images in [0, 1], network in eval mode, 3 x 2, float64.

        The rows are natural, PGD, one-step; zero where that is not measured.
        """
        with self.arithmetic():
            return self.attacked_sums(pixels, labels, attacks)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return augmented images in [0, 1] (B x C x H x W) and labels (B) of the patterns at `index`."""
        training = self.training
        images = crop_and_flip(training.dataset.train.images, index)
        if training.plan.augment_all is not None:
            images = training.plan.augment_all(images)
        return images, training.dataset.train.labels[index]

    def run(self, kind: Hashable, stage: Stage, *inputs: Tensor) -> Outputs:
        """Do a stage of a step (see step.Way)."""
        del kind
        return stage(*inputs)

    def harder(self, images: Tensor, labels: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        """Return images augmented by DOM_DA's operation, and their natural losses (see step.Way): what is meant is
        gathered, and goes through operation and network by itself.
        """
        operation = self.training.plan.distract
        assert operation is not None
        meant = among.nonzero().squeeze(1)
        losses = torch.full((len(images),), torch.inf, device=images.device)
        if len(meant) == 0:
            return images, losses
        harder = operation(images[meant])
        with self.arithmetic():
            losses[meant] = loss_of(self.network)(harder, labels[meant])
        augmented = images.clone()  # in the same order of memory: random starts are drawn in that order
        augmented[meant] = harder
        return augmented, losses

    def arithmetic(self) -> torch.autocast:
        """Return the context of the network's passes."""
        return devices.autocast(self.training.device, self.training.precision)

    def attacked_sums(self, pixels: Tensor, labels: Tensor, attacks: Attacks) -> Tensor:
        """See `measure`."""
        network = self.network
        rows = [_sums(network, pixels, labels)]
        for attack in (attacks.pgd, attacks.one_step):
            if attack is None:
                rows.append(torch.zeros_like(rows[0]))
            else:
                perturbed = pixels + perturb(loss_of(network), pixels, labels, attack)
                rows.append(_sums(network, perturbed, labels))
        return torch.stack(rows)

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
