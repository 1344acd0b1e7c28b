"""What a step and an evaluation cost: passes through the network over one image, each about a forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domcli.catalogue.attacks import Attack
    from domcli.catalogue.operations import Operation


@dataclass(frozen=True)
class Passes:
    """Passes over one image: forward, gradient towards the input, gradient towards the weights. Each costs F."""

    forward: float
    input_gradient: float
    weight_gradient: float

    def __add__(self, other: Passes) -> Passes:
        """Return both one after the other."""
        return Passes(
            self.forward + other.forward,
            self.input_gradient + other.input_gradient,
            self.weight_gradient + other.weight_gradient,
        )

    @property
    def total(self) -> float:
        """The sum, in F."""
        return self.forward + self.input_gradient + self.weight_gradient

    @property
    def of_attacks(self) -> float:
        """The gradient steps of attacks among them: every other gradient towards the input goes on to the weights."""
        return self.input_gradient - self.weight_gradient


NOTHING = Passes(0, 0, 0)
JUDGED = Passes(1, 0, 0)
"""A forward pass alone."""
UPDATED = Passes(1, 1, 1)
"""The update."""


def attack_passes(steps: int, restarts: int) -> Passes:
    """Return what it costs to perturb an image; only of several restarts it must be found out which is the best."""
    gradients = steps * restarts
    return Passes(gradients + (restarts if restarts > 1 else 0), gradients, 0)


def step_passes(
    attack: Attack, operation: Operation, extra: Passes, *, steps: int, restarts: int, high_confidence: float
) -> Passes:
    """Return the passes of a step in which so large a share of the patterns is high-confidence.

    `steps` and `restarts` are those of [attack], `extra` the passes of the objective. `operation` is what is done with
    the high-confidence patterns: nothing before the end of the warm-up. Of the iterations of an augmentation only the
    first is counted, since how many follow is up to the draws.
    """
    again = Passes(high_confidence if operation.augments else 0, 0, 0)
    if attack.perturbs:
        return JUDGED + attack_passes(attack.steps(steps), restarts) + UPDATED + again + extra
    # The natural loss is the loss of the update, unless that is of other images.
    return (JUDGED if operation.augments else NOTHING) + UPDATED + again


def evaluation_passes(attack: Attack, *, steps: int, restarts: int, trained_restarts: int) -> Passes:
    """Return the passes over an image that is tested: as it is, by PGD and, after training against one step, by that.

    `steps` and `restarts` are those of PGD, `steps` 0 where nothing is attacked; `trained_restarts` those of [attack].
    """
    found = JUDGED
    if steps:
        found += attack_passes(steps, restarts) + JUDGED
    if steps and attack.one_step:
        found += attack_passes(attack.steps(1), trained_restarts) + JUDGED
    return found
