"""For comparing ways to do the same steps: what else than the launching would tell them apart is taken out here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from domcli.trainer.augmentation import policies
from domcli.trainer.step import Outputs, Stage


def calling(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
    """Keep copies of the inputs, as a graph does, but call the function instead of replaying it (see Recorder)."""
    del changed
    held = [value.clone() for value in inputs]

    def replay(*values: Tensor) -> Outputs:
        for place, value in zip(held, values, strict=True):
            place.copy_(value)
        return function(*held)

    return replay


@contextmanager
def draws_of_the_step_alone() -> Iterator[None]:
    """Have AugMix draw the same weights for all images of a step.

    It draws weights for each image, so a subset draws fewer than a whole batch, and everything after it is another.
    """
    draw_augmix = policies.draw_augmix

    def drawn(count: int, height: int, width: int) -> policies.Mixture:
        with torch.random.fork_rng([]):
            torch.manual_seed(torch.initial_seed())
            mixture = draw_augmix(1, height, width)
        return policies.Mixture(mixture.chains, mixture.weights.expand(count, -1))

    policies.draw_augmix = drawn
    try:
        yield
    finally:
        policies.draw_augmix = draw_augmix
