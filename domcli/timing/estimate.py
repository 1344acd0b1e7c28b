"""From measured steps and evaluations to the epochs and whole runs of presets; pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domcli.catalogue import ATTACKS, DATASETS, OPERATIONS
from domcli.catalogue.objectives import CROSS_ENTROPY

if TYPE_CHECKING:
    from domcli.settings import Settings


Key = str
"""What a time depends on, written as Python does."""


@dataclass(frozen=True)
class PlainEvaluation:
    """Seconds for each image that the plain loop evaluates: of the test set, and of the training set."""

    test: float
    train: float


@dataclass(frozen=True)
class MeasuredStep:
    """Seconds of a step of a case."""

    case: str
    seconds: float


@dataclass(frozen=True)
class MeasuredEvaluation:
    """Seconds of an evaluation of so many images."""

    case: str
    seconds: float
    images: int


@dataclass
class Measured:
    """What has been measured so far."""

    steps: dict[Key, MeasuredStep] = field(default_factory=dict)
    evaluations: dict[Key, MeasuredEvaluation] = field(default_factory=dict)
    plain_steps: dict[Key, float] = field(default_factory=dict)
    """Seconds."""
    plain_evaluation: PlainEvaluation | None = None
    """Of PGD training."""

    def add_step(self, settings: Settings, step: MeasuredStep) -> None:
        """Take up a step of these settings, after the warm-up."""
        self.steps[step_key(settings)] = step

    def add_evaluation(self, settings: Settings, evaluation: MeasuredEvaluation) -> None:
        """Take up an evaluation as these settings ask for it."""
        self.evaluations[evaluation_key(settings)] = evaluation

    def add_plain_step(self, settings: Settings, seconds: float) -> None:
        """Take up a step of the plain loop with these settings, after the warm-up."""
        self.plain_steps[step_key(settings)] = seconds


class NotMeasured(Exception):
    """The message says what an estimate lacks."""


def step_key(settings: Settings, *, after_warmup: bool = True, augment: str | None = None) -> Key:
    """Return what the time of a step depends on; before the warm-up's end DOM does nothing."""
    attack, dom = settings.attack, settings.dom
    steps = ATTACKS[attack.name].steps(attack.steps)
    perturbed = (attack.norm, steps, attack.restarts) if steps else ()
    operate = dom.operate if after_warmup else "none"
    augments = (operate, dom.iterations) if OPERATIONS[operate].augments else (operate,)
    everywhere = settings.data.augment if augment is None else augment
    # Left out as what was measured before there were others knows it.
    objective = () if settings.train.objective == CROSS_ENTROPY else (settings.train.objective,)
    return repr((_network(settings), settings.train.batch_size, perturbed, augments, everywhere, *objective))


def evaluation_key(settings: Settings) -> Key:
    """Return what the time of an evaluation depends on, for one image."""
    evaluation = settings.evaluation
    if evaluation.attack == "none":
        return repr((_network(settings), "natural"))
    strength = (settings.attack.norm, evaluation.steps, evaluation.restarts)
    return repr((_network(settings), strength, ATTACKS[settings.attack.name].one_step))


def steps_before(settings: Settings, steps_per_epoch: int) -> int:
    """Return how many steps of a run come before DOM: those with t < K E, where step g of the run has t = g / steps."""
    spanned = settings.train.span * steps_per_epoch
    # Rounded, so that a warm-up such as 0.7 is not one step longer than it is written.
    first = math.ceil(round(settings.dom.warmup * spanned, 6))
    return min(settings.train.epochs * steps_per_epoch, max(0, first - 1))


def evaluations_of(settings: Settings) -> int:
    """Return how many times a run evaluates: after every so many epochs, and after the last."""
    return -(-settings.train.epochs // settings.evaluation.every)


def estimate(settings: Settings, measured: Measured) -> dict[str, Any]:
    """Return the times of a run with these settings in seconds: steps, epochs, evaluation, and all of it.

    `measured` and `extrapolated` say which is which, `put_together` whether the step itself is such a sum.
    Raises NotMeasured if something that it needs is missing.
    """
    dataset = DATASETS[settings.data.dataset]
    if dataset.images is None or not dataset.is_benched:
        raise NotMeasured(f"data.dataset = {settings.data.dataset} was not measured: its images are others")
    if settings.evaluation.train_attack:
        raise NotMeasured("evaluation.train_attack was not measured")
    train_images, test_images = _taken(settings, dataset.images)
    steps = -(-train_images // settings.train.batch_size)
    before, from_before = _step(settings, measured, after_warmup=False)
    after, from_after = _step(settings, measured, after_warmup=True)
    found = measured.evaluations.get(evaluation_key(settings))
    if found is None:
        raise NotMeasured("an evaluation like its own was not measured")
    test = found.seconds * test_images / found.images
    first, times = steps_before(settings, steps), evaluations_of(settings)
    rest = settings.train.epochs * steps - first
    put_together = max(len(from_before), len(from_after)) > 1
    extrapolated = [f"epochs of {steps} steps"]
    if put_together:
        extrapolated.append(f"the step, from one without {settings.data.augment} and what that adds to a natural step")
    if found.images != test_images:
        extrapolated.append(f"the evaluation of {test_images:,} images, from {found.images:,}")
    return {
        "epochs": settings.train.epochs,
        "steps_per_epoch": steps,
        "steps_before": first,
        "step_before": before,
        "step_after": after,
        "epoch_before": steps * before,
        "epoch_after": steps * after,
        "evaluation": test,
        "evaluations": times,
        "total": first * before + rest * after + times * test,
        "put_together": put_together,
        "measured": [*dict.fromkeys([*from_before, *from_after]), f"evaluation beside {found.case}"],
        "extrapolated": extrapolated,
    }


def against_plain(settings: Settings, measured: Measured, found: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the seconds of the plain loop's epoch after the warm-up, and how many times it takes as long as domcli's.

    To each epoch belongs what is evaluated after it: here PGD on the test set, there also on the training set, as the
    official script does. None where that was not measured, or where it is not PGD training.
    """
    step, evaluation = measured.plain_steps.get(step_key(settings)), measured.plain_evaluation
    images = DATASETS[settings.data.dataset].images
    several = ATTACKS[settings.attack.name].several_steps
    if not several or images is None or step is None or evaluation is None:
        return {"plain_epoch": None, "epoch_ratio": None}
    train_images, test_images = _taken(settings, images)
    plain = found["steps_per_epoch"] * step + train_images * evaluation.train + test_images * evaluation.test
    return {"plain_epoch": plain, "epoch_ratio": plain / (found["epoch_after"] + found["evaluation"])}


def _step(settings: Settings, measured: Measured, after_warmup: bool) -> tuple[float, list[str]]:
    """Return the seconds of a step and the cases that they come from.

    Augmenting every image costs a step of any paradigm what it costs a natural step.
    """
    found = measured.steps.get(step_key(settings, after_warmup=after_warmup))
    if found is not None:
        return found.seconds, [found.case]
    bare = measured.steps.get(step_key(settings, after_warmup=after_warmup, augment="none"))
    if bare is None or settings.data.augment == "none":
        raise NotMeasured("a step like its own was not measured")
    natural = settings.model_copy(update={"attack": settings.attack.model_copy(update={"name": "none"})})
    with_it = measured.steps.get(step_key(natural, after_warmup=False))
    without = measured.steps.get(step_key(natural, after_warmup=False, augment="none"))
    if with_it is None or without is None:
        raise NotMeasured(f"what {settings.data.augment} on every image costs was not measured")
    added = max(0.0, with_it.seconds - without.seconds)
    return bare.seconds + added, [bare.case, with_it.case, without.case]


def _taken(settings: Settings, all_of: tuple[int, int]) -> tuple[int, int]:
    """Return how many of all training and test images of its data set a run takes."""
    return settings.data.train_images or all_of[0], settings.data.test_images or all_of[1]


def _network(settings: Settings) -> tuple[object, ...]:
    return settings.model.name, settings.model.width, settings.train.precision
