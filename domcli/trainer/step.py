"""One training step (paper, Algorithm 1), top to bottom: judge, distract, attack, update.

Its stages are functions of tensors. Which patterns are meant is told by masks, so that nobody has to ask the device how
many there are. A way says how the stages are done: as they are written, or recorded once and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from domcli.trainer import device as devices
from domcli.trainer.attacks import perturb
from domcli.trainer.distraction import augment_iteratively, kept_patterns, patterns_to_augment, weighted_mean
from domcli.trainer.passes import Judgement, Network, StepOutcome, judge
from domcli.trainer.state import Training

Outputs = tuple[Tensor, ...]
Stage = Callable[..., Outputs]
"""A function of tensors alone; what else it changes are tensors of the training."""


class Way(Protocol):
    """How the stages of a step are done."""

    @property
    def asks(self) -> bool:
        """Whether the host may ask the device which patterns are chosen, and keep a pass's graph until it knows."""

    @property
    def network(self) -> Network:
        """The run's classifier, or the same computed faster."""

    def run(self, kind: Hashable, stage: Stage, *inputs: Tensor) -> Outputs:
        """Do a stage. Those of one kind do the same on inputs of the same shapes."""

    def harder(self, images: Tensor, labels: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        """Return images augmented by the operation of DOM_DA, and their natural losses (see distraction.Harder)."""


def train_step(training: Training, way: Way, index: Tensor, images: Tensor, labels: Tensor, dom_active: bool) -> None:
    """Do steps 3 to 6 on a batch of augmented images, the patterns at `index`, and note what was seen.

    `images` are float32 in [0, 1], B x C x H x W; `labels` int64, B. The network is in train mode throughout, so each
    pass moves the running statistics of batch norm. Natural training needs one pass where nothing was augmented: the
    loss that decides is then also the loss of the update.
    """
    plan, asks = training.plan, way.asks  # which a recording that fails within the step may change
    if not dom_active or plan.distract is None:
        way.run(("learn", dom_active), partial(learn, training, way, dom_active), index, images, labels)
        return
    natural = Judgement(*way.run("judge", partial(look, training, way, asks), images, labels))
    losses = natural.losses.detach()
    threshold = plan.threshold(losses, training.threshold)
    chosen = patterns_to_augment(losses, threshold)
    if asks and not chosen.any():
        _update(training, way, index, images, labels, natural, dom_active=True)
        return
    natural = natural.detached()  # lets go of the graph before more passes are made
    images = augment_iteratively(
        images, labels, chosen, way.harder, threshold=threshold, iterations=plan.iterations, strength=plan.strength
    )
    way.run("update", partial(retrain, training, way, asks), index, images, labels, losses, natural.correct, chosen)


def learn(training: Training, way: Way, dom_active: bool, index: Tensor, images: Tensor, labels: Tensor) -> Outputs:
    """Do a whole step in which no pattern is augmented."""
    training.optimizer.zero_grad()
    with devices.autocast(training.device, training.precision):
        natural = judge(way.network, images, labels, with_graph=training.plan.attack is None)
    return _update(training, way, index, images, labels, natural, dom_active=dom_active)


def look(training: Training, way: Way, asks: bool, images: Tensor, labels: Tensor) -> Outputs:
    """Do step 3: return the natural losses, and which patterns are classified correctly."""
    training.optimizer.zero_grad()
    with devices.autocast(training.device, training.precision):
        natural = judge(way.network, images, labels, with_graph=asks and training.plan.attack is None)
    return natural.losses, natural.correct


def retrain(
    training: Training,
    way: Way,
    asks: bool,
    index: Tensor,
    images: Tensor,
    labels: Tensor,
    losses: Tensor,
    correct: Tensor,
    chosen: Tensor,
) -> Outputs:
    """Do steps 5 and 6 on images of which the chosen ones were augmented; who does not ask may find that none were."""
    statistics = training.classifier.statistics()
    again = not asks and training.plan.attack is None
    before = [running.clone() for running in statistics] if again else []
    training.optimizer.zero_grad()
    _update(training, way, index, images, labels, Judgement(losses, correct), dom_active=True, augmented=chosen)
    if again:
        # Where nothing was augmented this pass repeats the natural one, which has moved the statistics already.
        with torch.no_grad():
            for running, old in zip(statistics, before, strict=True):
                running.copy_(torch.where(chosen.any(), running, old))
    return ()


def _update(
    training: Training,
    way: Way,
    index: Tensor,
    images: Tensor,
    labels: Tensor,
    natural: Judgement,
    *,
    dom_active: bool,
    augmented: Tensor | None = None,
) -> Outputs:
    """Do steps 5 and 6: attack the images, weigh what DOM_RE weighs, go backwards, update, and note what was seen.

    `natural` is the judgement on the images before any were `augmented` (B booleans; None: none were).
    """
    plan, network, losses = training.plan, way.network, natural.losses.detach()
    with devices.autocast(training.device, training.precision):
        perturbed = images
        if plan.attack is not None:
            with training.classifier.in_mode(training=not plan.attacks_evaluating):
                raised = plan.objective.raised(network, images)
                perturbed = images + perturb(raised, images, labels, plan.attack)
        judged = natural
        if plan.attack is not None or augmented is not None or not plan.objective.judges_naturally:
            devices.forget_converted_weights()
            judged = plan.objective.lowered(network, images, perturbed, labels)
        threshold = plan.threshold(losses, training.threshold)
        confident = ~kept_patterns(losses, threshold)
        weigh = plan.weigh if dom_active else None
        loss = judged.losses.mean() if weigh is None else weighted_mean(judged.losses, weigh(confident))
        loss.backward()  # type: ignore[no-untyped-call]
    nobody = torch.zeros_like(confident)
    outcome = StepOutcome(
        natural_loss=losses,
        natural_correct=natural.correct,
        robust_loss=None if plan.attack is None else judged.losses.detach(),
        robust_correct=None if plan.attack is None else judged.correct,
        removed=nobody if weigh is None else confident,
        augmented=nobody if augmented is None else augmented,
        threshold=threshold,
    )
    training.optimizer.step(training.lr)
    training.record.note(index, outcome)
    training.meter.add(outcome)
    return ()
