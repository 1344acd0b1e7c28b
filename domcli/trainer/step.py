"""One training step (paper, Algorithm 1) as a function of tensors: it reads no host value unless DOM_DA is at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from domcli.settings import Settings
from domcli.trainer import device as devices
from domcli.trainer.attacks import Attack, LossOf, perturb
from domcli.trainer.augment import batch_augmentation
from domcli.trainer.distraction import augment_iteratively, kept_patterns, patterns_to_augment, removal_loss

Network = Callable[[Tensor], Tensor]
"""Images (N x C x H x W, in [0, 1]) to float32 logits (N x classes): a classifier, or the same computed faster."""


@dataclass(frozen=True)
class Plan:
    """What the settings ask of a step; None where a part is not done."""

    attack: Attack | None
    removes: bool
    distract: Callable[[Tensor], Tensor] | None
    """Augmentation of high-confidence patterns (DOM_DA)."""
    augment_all: Callable[[Tensor], Tensor] | None
    """Augmentation of every batch of every epoch (the AugMix and RandAugment baselines)."""
    threshold: float
    strength: float
    iterations: int

    @classmethod
    def of(cls, settings: Settings) -> Plan:
        operate, everywhere = settings.dom.operate, settings.data.augment
        return cls(
            attack=None if settings.attack.name == "none" else Attack.for_training(settings.attack),
            removes=operate == "remove",
            distract=batch_augmentation(operate) if operate == "augmix" or operate == "randaugment" else None,
            augment_all=None if everywhere == "none" else batch_augmentation(everywhere),
            threshold=settings.dom.threshold,
            strength=settings.dom.strength,
            iterations=settings.dom.iterations,
        )


@dataclass(frozen=True)
class StepOutcome:
    """What a step saw of each of its N patterns, on the device."""

    natural_loss: Tensor
    natural_correct: Tensor
    robust_loss: Tensor | None
    robust_correct: Tensor | None
    removed: Tensor
    augmented: Tensor


def loss_of(network: Network) -> LossOf:
    """Return the function from images and labels to the unreduced cross-entropy in nats, float32."""
    return lambda images, labels: F.cross_entropy(network(images), labels, reduction="none")


def train_step(network: Network, images: Tensor, labels: Tensor, plan: Plan, dom_active: bool) -> StepOutcome:
    """Do steps 3 to 6 on a batch of augmented images and leave the gradient of the update in the parameters.

    `images` are float32 in [0, 1], B x C x H x W; `labels` int64, B. The network is in train mode throughout, so
    each forward pass moves the running statistics of batch norm. Natural training needs one pass where nothing was
    augmented: the loss that decides is then also the loss of the update.
    """
    natural = judge(network, images, labels, with_graph=plan.attack is None)
    chosen = patterns_to_augment(natural.losses.detach(), plan.threshold)
    if not dom_active or plan.distract is None or not chosen.any():
        return update(network, images, labels, plan, dom_active, natural)
    natural = natural.detached()  # lets go of the graph before more passes are made
    images = augment_iteratively(
        images,
        labels,
        natural.losses,
        loss_of(network),
        plan.distract,
        threshold=plan.threshold,
        iterations=plan.iterations,
        strength=plan.strength,
    )
    return update(network, images, labels, plan, dom_active, natural, augmented=chosen)


@dataclass(frozen=True)
class Judgement:
    """Unreduced losses (N, nats, float32) and whether each of N patterns is classified correctly."""

    losses: Tensor
    correct: Tensor

    def detached(self) -> Judgement:
        """Return the same without the graph."""
        return Judgement(self.losses.detach(), self.correct)


def judge(network: Network, images: Tensor, labels: Tensor, *, with_graph: bool) -> Judgement:
    """Return what the network makes of images; `with_graph`: ready for a backward pass."""
    with torch.set_grad_enabled(with_graph):
        logits = network(images)
        losses = F.cross_entropy(logits, labels, reduction="none")
    return Judgement(losses, logits.detach().argmax(1) == labels)


def update(
    network: Network,
    images: Tensor,
    labels: Tensor,
    plan: Plan,
    dom_active: bool,
    natural: Judgement,
    augmented: Tensor | None = None,
) -> StepOutcome:
    """Do steps 5 and 6: attack the images, remove what DOM_RE removes, and go backwards.

    `natural` is the judgement on the images before any were `augmented` (N booleans; None: none were).
    """
    nobody = torch.zeros_like(natural.correct)
    natural_loss = natural.losses.detach()
    if plan.attack is not None:
        images = images + perturb(loss_of(network), images, labels, plan.attack)
    fresh = plan.attack is not None or augmented is not None
    if fresh:
        devices.forget_converted_weights()
    judged = judge(network, images, labels, with_graph=True) if fresh else natural
    kept = kept_patterns(natural_loss, plan.threshold)
    removing = plan.removes and dom_active
    loss = removal_loss(judged.losses, kept) if removing else judged.losses.mean()
    loss.backward()  # type: ignore[no-untyped-call]
    return StepOutcome(
        natural_loss=natural_loss,
        natural_correct=natural.correct,
        robust_loss=None if plan.attack is None else judged.losses.detach(),
        robust_correct=None if plan.attack is None else judged.correct,
        removed=~kept if removing else nobody,
        augmented=nobody if augmented is None else augmented,
    )
