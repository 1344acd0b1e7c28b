"""Accuracy and loss on a set of images, natural and attacked, network in eval mode."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from domcli.catalogue import ATTACKS
from domcli.events import TestMetrics
from domcli.memory import is_out_of_memory
from domcli.settings import Settings
from domcli.trainer.attacks import Attack, Piece
from domcli.trainer.augment import to_float
from domcli.trainer.data import ImageSet
from domcli.trainer.models import Classifier
from domcli.trainer.seeding import Purpose, reseed

log = logging.getLogger(__name__)
BATCH = {"cuda": 500, "cpu": 128}
"""Images evaluated at once where memory suffices (see Pieces); the batch size changes nothing but the speed, since
batch norm is in eval mode.

On CUDA it divides the usual sizes of test sets: batches of one size are recorded, and compiled for, once."""


@dataclass(frozen=True)
class Attacks:
    """The attacks of an evaluation; None: not measured."""

    pgd: Attack | None = None
    one_step: Attack | None = None

    @classmethod
    def on_test_set(cls, settings: Settings) -> Attacks:
        """Return PGD as [evaluation] says, and for one-step training its own attack."""
        if settings.evaluation.attack == "none":
            return cls()
        one_step = Attack.for_training(settings.attack) if ATTACKS[settings.attack.name].one_step else None
        return cls(Attack.for_evaluation(settings.attack, settings.evaluation), one_step)

    @classmethod
    def on_training_set(cls, settings: Settings) -> Attacks:
        """Return the training attack; one-step training is asked for PGD as on the test set as well."""
        attack = ATTACKS[settings.attack.name]
        if not attack.perturbs:
            return cls()
        return cls.on_test_set(settings) if attack.one_step else cls(pgd=Attack.for_training(settings.attack))


Measure = Callable[[Tensor, Tensor, Attacks], Tensor]
"""From images in [0, 1], labels and attacks to the sums of a batch (see Engine.measure)."""


@dataclass(frozen=True)
class Draws:
    """Where the random starts of an evaluation come from."""

    seed: int
    purpose: Purpose
    epoch: int


class Pieces:
    """How many images are measured at once: a batch, or pieces of it once memory has not sufficed for a whole one.

    The size is kept for as long as this lives, so that memory runs out once and not in every batch. The random starts
    of an image are the same in a piece as in its batch, so sizes change the numbers by no more than rounding.
    """

    def __init__(self, device: torch.device) -> None:
        self.size = BATCH[device.type]
        self._kept: dict[tuple[int, int], Piece] = {}

    def describe(self) -> dict[str, int]:
        """Return what environment.json says of it."""
        return {"evaluation_batch": self.size}

    def sums(self, batch: ImageSet, attacks: Attacks, measure: Measure, reseeded: Callable[[], None]) -> Tensor:
        """Return what `measure` finds in a batch; `reseeded` has the batch's random numbers begin anew.

        Raises the error that says so if memory does not suffice for a single image.
        """
        images = len(batch.labels)
        sums = torch.zeros(3, 2, dtype=torch.float64, device=batch.labels.device)
        done = 0
        while done < images:
            size = min(self.size, images - done)
            part = slice(done, done + size)
            reseeded()
            try:
                pixels = to_float(batch.images[part]).contiguous(memory_format=torch.channels_last)
                sums += measure(pixels, batch.labels[part], self._attacks(attacks, part, batch.labels))
                done += size
                continue
            except Exception as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
            # Not above, where the error still keeps what was computed until then in memory.
            self._halve(size)
        return sums

    def _halve(self, size: int) -> None:
        self.size = -(-size // 2)
        log.warning("memory does not suffice to evaluate %d images at once, from now on it is %d", size, self.size)
        torch.cuda.empty_cache()

    def _attacks(self, attacks: Attacks, part: slice, labels: Tensor) -> Attacks:
        """Return the attacks on a part of a batch: the same object for every part of a size, as engines record them."""
        size, images = part.stop - part.start, len(labels)
        if size == images:
            return attacks
        if (size, images) not in self._kept:
            self._kept[size, images] = Piece(images, torch.empty(size, dtype=torch.int64, device=labels.device))
        piece = self._kept[size, images]
        torch.arange(part.start, part.stop, out=piece.index)
        return Attacks(*(one and replace(one, piece=piece) for one in (attacks.pgd, attacks.one_step)))


def evaluate(
    classifier: Classifier,
    images: ImageSet,
    attacks: Attacks,
    measure: Measure,
    draws: Draws,
    after_batch: Callable[[int, int], None],
    pieces: Pieces | None = None,
) -> TestMetrics:
    """Return natural, PGD and one-step accuracy and mean loss over a whole set.

    `measure` returns the sums of a batch (see Engine.measure). `after_batch(done, batches)` is called after every batch
    and may raise to break off. `pieces` is what earlier evaluations found out about the memory. The classifier is back
    in train mode afterwards, with nothing of it changed.
    """
    device = images.labels.device
    pieces = pieces or Pieces(device)
    size = BATCH[device.type]
    batches = -(-len(images.labels) // size)
    sums = torch.zeros(3, 2, dtype=torch.float64, device=device)
    classifier.eval()
    try:
        for batch in range(batches):
            part = slice(batch * size, (batch + 1) * size)
            reseeded = partial(reseed, draws.seed, draws.purpose, draws.epoch, batch)
            sums += pieces.sums(ImageSet(images.images[part], images.labels[part]), attacks, measure, reseeded)
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
