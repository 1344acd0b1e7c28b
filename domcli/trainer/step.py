"""One training step (paper, Algorithm 1) as a function of tensors: it reads no host value unless DOM_DA is at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from domcli.settings import Settings
from domcli.trainer.attacks import Attack, LossOf, perturb
from domcli.trainer.augment import batch_augmentation
from domcli.trainer.distraction import augment_iteratively, kept_patterns, patterns_to_augment, removal_loss


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


def loss_of(classifier: nn.Module) -> LossOf:
    """Return the function from images and labels to the unreduced cross-entropy in nats, float32."""
    return lambda images, labels: F.cross_entropy(classifier(images), labels, reduction="none")


def train_step(classifier: nn.Module, images: Tensor, labels: Tensor, plan: Plan, dom_active: bool) -> StepOutcome:
    """Do steps 3 to 6 on a batch of augmented images and leave the gradient of the update in the parameters.

    `images` are float32 in [0, 1], B x C x H x W; `labels` int64, B. The classifier is in train mode throughout, so
    each forward pass moves the running statistics of batch norm. Natural training needs one pass where nothing was
    augmented: the loss that decides is then also the loss of the update.
    """
    with torch.set_grad_enabled(plan.attack is None):
        losses, natural_correct = _judge(classifier, images, labels)
    natural_loss = losses.detach()
    kept = kept_patterns(natural_loss, plan.threshold)
    chosen = patterns_to_augment(natural_loss, plan.threshold)
    nobody = torch.zeros_like(kept)
    fresh = plan.attack is not None
    distract = plan.distract if dom_active else None
    if distract is not None and chosen.any():
        losses = natural_loss  # lets go of the graph before more passes are made
        images = augment_iteratively(
            images,
            labels,
            natural_loss,
            loss_of(classifier),
            distract,
            threshold=plan.threshold,
            iterations=plan.iterations,
            strength=plan.strength,
        )
        fresh = True
    if plan.attack is not None:
        images = images + perturb(loss_of(classifier), images, labels, plan.attack)
    correct = natural_correct
    if fresh:
        losses, correct = _judge(classifier, images, labels)
    removing = plan.removes and dom_active
    (removal_loss(losses, kept) if removing else losses.mean()).backward()  # type: ignore[no-untyped-call]
    return StepOutcome(
        natural_loss=natural_loss,
        natural_correct=natural_correct,
        robust_loss=None if plan.attack is None else losses.detach(),
        robust_correct=None if plan.attack is None else correct,
        removed=~kept if removing else nobody,
        augmented=nobody if distract is None else chosen,
    )


def _judge(classifier: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = classifier(images)
    return F.cross_entropy(logits, labels, reduction="none"), logits.detach().argmax(1) == labels
