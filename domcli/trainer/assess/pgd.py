"""PGD with random starts that depend on the image alone, so that batches of any size find the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from domcli.evaluations import Plan
from domcli.trainer.assess.batches import FittingNetwork
from domcli.trainer.assess.stage import Stage
from domcli.trainer.attacks import Attack, perturb_from
from domcli.trainer.passes import loss_of


def stage(network: FittingNetwork, plan: Plan) -> Stage:
    """Return PGD as the plan has it. An image is correct if it is after the last step from each of the starts."""
    assert plan.alpha is not None
    assert plan.steps is not None
    assert plan.restarts is not None
    attack = Attack(plan.norm, plan.epsilon / 255, plan.alpha / 255, plan.steps, plan.restarts)
    loss = loss_of(network)

    def still_correct(images: Tensor, labels: Tensor, places: Sequence[int]) -> Tensor:
        correct = torch.ones(len(places), dtype=torch.bool, device=images.device)
        for restart in range(attack.restarts):
            left = correct.nonzero().flatten()
            if not len(left):
                break
            pixels, classes = images[left], labels[left]
            noise = starts(attack, pixels, [places[at] for at in left.tolist()], plan.seed, restart)
            perturbed = pixels + perturb_from(noise, loss, pixels, classes, attack)
            correct[left] = network.predict(perturbed) == classes
        return correct

    return Stage(
        "pgd",
        still_correct,
        passes=attack.restarts * (attack.steps + 1),
        cost=attack.restarts * (2 * attack.steps + 1),
    )


def starts(attack: Attack, images: Tensor, places: Sequence[int], seed: int, restart: int) -> Tensor:
    """Return a random start for each image, drawn from the seed, its place in the test set and the restart alone.

    As in training: uniform in the cube for L-infinity; a uniform direction with a uniform radius for L2.
    """
    shape = tuple(images.shape[1:])
    drawn = np.empty((len(places), *shape), dtype=np.float32)
    for at, place in enumerate(places):
        random = np.random.default_rng([seed, place, restart])
        if attack.norm == "linf":
            drawn[at] = random.uniform(-attack.epsilon, attack.epsilon, shape)
        else:
            direction = random.standard_normal(shape)
            drawn[at] = direction * (random.uniform(0, attack.epsilon) / np.linalg.norm(direction))
    return torch.from_numpy(drawn).to(images.device)
