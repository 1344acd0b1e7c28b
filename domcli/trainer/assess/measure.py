"""The loop of an evaluation: stage by stage, batch by batch, on the images that are still correct."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from domcli.evaluations import Batch, Findings, Progress
from domcli.trainer.assess.batches import FittingNetwork
from domcli.trainer.assess.stage import Stage
from domcli.trainer.augment import to_float
from domcli.trainer.data import ImageSet

PASSES_TO_WARM_UP = 2
INTERVAL = 0.3
"""Least seconds between two reports within a batch."""


def measure(
    stages: Sequence[Stage],
    network: FittingNetwork,
    images: ImageSet,
    places: Sequence[int],
    findings: Findings,
    tell: Callable[[Progress], None],
) -> dict[str, float]:
    """Return the accuracy after each stage, a fraction of the images at these places of the set.

    What was found before is not done again; what is found is kept at once.
    """
    pace = Pace(stages, len(places), tell)
    network.after_pass = pace.after_pass
    left, accuracies = list(places), {}
    for stage in stages:
        known = findings.of(stage.name)
        todo = [place for place in left if place not in known]
        pace.begin(stage, len(left), [known[place] for place in left if place in known])
        while todo:
            batch = todo[: stage.together or network.size]
            began = time.monotonic()
            correct = network.fitting(partial(_attacked, stage, images, batch, pace))
            findings.add(Batch(stage.name, batch, correct, time.monotonic() - began))
            pace.after_batch(correct)
            todo = todo[len(batch) :]
        known = findings.of(stage.name)
        left = [place for place in left if known[place]]
        accuracies[stage.name] = len(left) / len(places)
    return accuracies


def _attacked(stage: Stage, images: ImageSet, batch: list[int], pace: Pace) -> list[bool]:
    pace.begin_batch(len(batch))
    index = torch.tensor(batch, device=images.labels.device)
    # Attacks that reshape with `view` need images whose channels are not last.
    pixels = to_float(images.images[index]).contiguous()
    found: list[bool] = stage.still_correct(pixels, images.labels[index], batch).tolist()
    return found


class Pace:
    """How much is done, and how long the rest will take at the speed of this sitting."""

    def __init__(self, stages: Sequence[Stage], total: int, tell: Callable[[Progress], None]) -> None:
        self._stages = list(stages)
        self._total = total
        self._tell = tell
        self._stage = self._stages[0]
        self._images = self._correct = total
        self._done = self._batch = self._passes = 0
        self._attacked = self._fooled = 0
        """Of the images of this stage."""
        self._finished = 0.0
        """Work in the stages before this one, in forward passes."""
        self._clock: tuple[float, float] | None = None
        """When the pace began to be taken, and how much was done by then: not before the second pass of an attack, for
        the first passes of a process take many times as long as later ones."""
        self._next = time.monotonic()

    def begin(self, stage: Stage, images: int, known: Sequence[bool]) -> None:
        """Go on to a stage, which attacks so many images, some of which have been attacked before."""
        self._finished += self._done * self._stage.cost
        self._stage, self._images, self._done = stage, images, len(known)
        self._batch = self._passes = 0
        self._attacked, self._fooled = len(known), known.count(False)
        self._correct = images - known.count(False)
        self._skip(len(known) * stage.cost)
        self._report()

    def begin_batch(self, images: int) -> None:
        """Begin a batch, or begin it again."""
        self._batch, self._passes = images, 0

    def after_pass(self) -> None:
        """Count a call of the network, and report if it is time to."""
        self._passes += 1
        if self._clock is None and self._passes == PASSES_TO_WARM_UP:
            self._clock = (time.monotonic(), self._work())
        if time.monotonic() >= self._next:
            self._report()

    def after_batch(self, correct: Sequence[bool]) -> None:
        """Count what was found of a batch, and report it."""
        self._done += len(correct)
        self._attacked += len(correct)
        self._fooled += correct.count(False)
        self._correct -= correct.count(False)
        self._batch = self._passes = 0
        self._report()

    def _skip(self, work: float) -> None:
        """Have work that an earlier sitting did not count for the pace."""
        if self._clock is not None:
            began, before = self._clock
            self._clock = began, before + work

    def _part(self) -> float:
        """Return how many images of the batch at hand are done, as it were."""
        return self._batch * min(1.0, self._passes / self._stage.passes)

    def _work(self) -> float:
        """Return how much is done, in forward passes of an image."""
        return self._finished + (self._done + self._part()) * self._stage.cost

    def _survivors(self) -> float:
        """Return how many images later attacks will have to do with, if this one goes on as it has begun."""
        fooled = self._fooled / self._attacked if self._attacked else 0.0
        return self._correct - (self._images - self._done) * fooled

    def _seconds(self, rest: float, done: float) -> float | None:
        """Return how long the rest takes at the pace since the clock was started, None while that is not known."""
        if not rest:
            return 0.0
        began, before = self._clock or (0.0, done)
        return (time.monotonic() - began) * rest / (done - before) if done > before else None

    def _report(self) -> None:
        self._next = time.monotonic() + INTERVAL
        done = self._work()
        later = self._stages[self._stages.index(self._stage) + 1 :]
        here = (self._images - self._done - self._part()) * self._stage.cost
        cost = sum(one.cost for one in later)
        most = here + self._correct * cost
        self._tell(
            Progress(
                stage=self._stage.name,
                done=self._done,
                images=self._images,
                correct=self._correct,
                total=self._total,
                fraction=done / (done + most) if done + most else 1.0,
                remaining=self._seconds(here + self._survivors() * cost, done),
            )
        )
