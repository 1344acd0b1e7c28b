"""Accuracy and loss on a set of images, natural and attacked, network in eval mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from domcli.events import TestMetrics
from domcli.settings import Settings
from domcli.trainer.attacks import Attack
from domcli.trainer.augment import to_float
from domcli.trainer.data import ImageSet
from domcli.trainer.models import Classifier
from domcli.trainer.seeding import Purpose, reseed

BATCH = {"cuda": 500, "cpu": 128}
"""Images evaluated at once; the batch size changes nothing but the speed, since batch norm is in eval mode.

On CUDA it divides the usual sizes of test sets: batches of one size are recorded, and compiled for, once."""


@dataclass(frozen=True)
class Attacks:
    """The attacks of an evaluation; None: not measured."""

    pgd: Attack | None = None
    one_step: Attack | None = None

    @classmethod
    def on_test_set(cls, settings: Settings) -> Attacks:
        """Return PGD as [evaluation] says, and for FGSM training its own one-step attack."""
        if settings.evaluation.attack == "none":
            return cls()
        one_step = Attack.for_training(settings.attack) if settings.attack.name == "fgsm" else None
        return cls(Attack.for_evaluation(settings.attack, settings.evaluation), one_step)

    @classmethod
    def on_training_set(cls, settings: Settings) -> Attacks:
        """Return the training attack; FGSM training is asked for PGD as on the test set as well."""
        if settings.attack.name == "pgd":
            return cls(pgd=Attack.for_training(settings.attack))
        return cls.on_test_set(settings) if settings.attack.name == "fgsm" else cls()


@dataclass(frozen=True)
class Draws:
    """Where the random starts of an evaluation come from."""

    seed: int
    purpose: Purpose
    epoch: int


def evaluate(
    classifier: Classifier,
    images: ImageSet,
    attacks: Attacks,
    measure: Callable[[Tensor, Tensor, Attacks], Tensor],
    draws: Draws,
    after_batch: Callable[[int, int], None],
) -> TestMetrics:
    """Return natural, PGD and one-step accuracy and mean loss over a whole set.

    `measure` returns the sums of a batch (see Engine.measure). `after_batch(done, batches)` is called after every batch
    and may raise to break off. The classifier is back in train mode afterwards, with nothing of it changed.
    """
    device = images.labels.device
    size = BATCH[device.type]
    batches = -(-len(images.labels) // size)
    sums = torch.zeros(3, 2, dtype=torch.float64, device=device)
    classifier.eval()
    try:
        for batch in range(batches):
            part = slice(batch * size, (batch + 1) * size)
            reseed(draws.seed, draws.purpose, draws.epoch, batch)
            pixels = to_float(images.images[part]).contiguous(memory_format=torch.channels_last)
            sums += measure(pixels, images.labels[part], attacks)
            after_batch(batch + 1, batches)
    finally:
        classifier.train()
    return _metrics((sums / len(images.labels)).tolist(), attacks)


def _metrics(means: list[list[float]], attacks: Attacks) -> TestMetrics:
    natural, pgd, one_step = means
    return TestMetrics(
        natural_loss=natural[0],
        natural_accuracy=natural[1],
        pgd_loss=pgd[0] if attacks.pgd else None,
        pgd_accuracy=pgd[1] if attacks.pgd else None,
        one_step_loss=one_step[0] if attacks.one_step else None,
        one_step_accuracy=one_step[1] if attacks.one_step else None,
    )
