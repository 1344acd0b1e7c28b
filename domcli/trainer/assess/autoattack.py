"""AutoAttack, standard version (Croce and Hein, 2020), as the package `pyautoattack` computes it.

The package's own loop over attacks and batches is not used: broken off in an attack, it begins that attack again, on
other batches than before, and meanwhile it does not say where it is. The stages here are its attacks with its
parameters, on the batches of a run without a break, each begun from the same seed: they find the same
(docs/autoattack.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from domcli.errors import DataError
from domcli.evaluations import Plan
from domcli.trainer.assess.batches import FittingNetwork
from domcli.trainer.assess.stage import Stage

NORMS = {"linf": "Linf", "l2": "L2"}
MOST_TARGETS = 9
LEAST_CLASSES = 4
"""The targeted loss of APGD-T needs the four highest logits."""


def stages(network: FittingNetwork, plan: Plan, classes: int, device: torch.device) -> list[Stage]:
    """Return APGD-CE, APGD-T, FAB-T and Square Attack. Raises DataError for too few classes."""
    if classes < LEAST_CLASSES:
        raise DataError(
            f"AutoAttack's targeted loss needs at least {LEAST_CLASSES} classes, and this data set has {classes}; "
            "use --attack pgd with many steps and restarts"
        )
    import pyautoattack

    suite = pyautoattack.AutoAttack(
        network, norm=NORMS[plan.norm], eps=plan.epsilon / 255, seed=plan.seed, version="standard", device=device
    )
    targets = min(MOST_TARGETS, classes - 1)
    suite.apgd_targeted.n_target_classes = suite.fab.n_target_classes = targets
    suite.apgd.loss = "ce"
    suite.fab.targeted = True
    steps, queries = suite.apgd.n_iter, suite.square.n_queries
    found = [
        ("apgd-ce", suite.apgd, steps + 2, 2 * steps + 3),
        ("apgd-t", suite.apgd_targeted, targets * (steps + 2) + 1, targets * (2 * steps + 3) + 1),
        ("fab-t", suite.fab, targets * (2 * steps + 3) + 1, targets * (3 * steps + 3) + 1),
        ("square", suite.square, queries + 2, queries + 2),
    ]
    return [
        Stage(name, _Attacked(attack, network, plan.seed), passes, cost, together=plan.batch)
        for name, attack, passes, cost in found
    ]


class _Attacked:
    """One of the package's attacks on a batch."""

    def __init__(self, attack: Any, network: FittingNetwork, seed: int) -> None:
        self._attack = attack
        self._network = network
        self._seed = seed

    def __call__(self, images: Tensor, labels: Tensor, places: Sequence[int]) -> Tensor:
        """Return which images it does not fool."""
        del places
        self._attack.seed = self._seed
        return self._network.predict(self._attack.perturb(images, labels)) == labels
