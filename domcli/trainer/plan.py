"""What the settings ask of a step, as functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from domcli.catalogue import ATTACKS, OBJECTIVES, OPERATIONS, THRESHOLDS
from domcli.settings import Settings
from domcli.trainer import contracts
from domcli.trainer.attacks import Attack
from domcli.trainer.objectives import Objective

Augmentation = Callable[[Tensor], Tensor]
"""Float images in [0, 1] (B x C x H x W, channels_last) to such images; draws come from the CPU's generator alone."""


@dataclass(frozen=True)
class Plan:
    """What the settings ask of a step; None where a part is not done."""

    attack: Attack | None
    objective: Objective
    attacks_evaluating: bool
    """Whether the network is in evaluation mode while it is attacked."""
    threshold: Callable[[Tensor, Tensor], Tensor]
    """From the natural losses of the batch and `dom.threshold` to T."""
    weigh: Callable[[Tensor], Tensor] | None
    """From which patterns are high-confidence to the weights of their losses (DOM_RE)."""
    distract: Augmentation | None
    """Augmentation of high-confidence patterns (DOM_DA)."""
    augment_all: Augmentation | None
    """Augmentation of every batch of every epoch (the AugMix and RandAugment baselines)."""
    strength: float
    iterations: int

    @classmethod
    def of(cls, settings: Settings) -> Plan:
        """Return what these settings ask for."""
        operation, everywhere = OPERATIONS[settings.dom.operate], OPERATIONS[settings.data.augment]
        objective, options = OBJECTIVES[settings.train.objective], settings.options
        return cls(
            attack=Attack.for_training(settings.attack) if ATTACKS[settings.attack.name].perturbs else None,
            objective=contracts.made(objective, options)(),
            attacks_evaluating=objective.in_evaluation_mode,
            threshold=contracts.made(THRESHOLDS[settings.dom.rule], options),
            weigh=contracts.made(operation, options) if operation.weighs else None,
            distract=contracts.made(operation, options) if operation.augments else None,
            augment_all=contracts.made(everywhere, options) if everywhere.augments else None,
            strength=settings.dom.strength,
            iterations=settings.dom.iterations,
        )
