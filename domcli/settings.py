"""The typed experiment: every setting with its meaning, its unit and its symbol in the paper (arXiv:2310.08847).

The sections and keys are those of the TOML files. All models are frozen, refuse unknown keys and do not convert
types silently (a number in quotes is an error, not a number).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from domcli.catalogue import (
    ATTACKS,
    DATASETS,
    KINDS,
    NETWORKS,
    OBJECTIVES,
    OPERATIONS,
    SCHEDULES,
    THRESHOLDS,
    Choice,
    Entry,
    Operation,
    all_options,
)
from domcli.catalogue.choice import UNKNOWN_TOO
from domcli.catalogue.objectives import CROSS_ENTROPY
from domcli.catalogue.references import of_copies

Channels = Annotated[tuple[float, ...], Strict(False), Field(min_length=1, max_length=4)]


ADDED_LATER = (("train", "objective"), ("dom", "rule"))
"""Settings that runs of earlier versions lack; as long as they have their defaults, they are not written."""

GREYS = 255
"""Steps from black to white: perturbations are written in 1/255 of the way."""


def _everywhere(operation: Operation) -> bool:
    return operation.everywhere


class Section(BaseModel):
    """One table of the settings file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class DataSettings(Section):
    """Which images are trained on."""

    dataset: Annotated[str, Choice(DATASETS)] = "cifar10"
    """Data set."""
    root: Annotated[str, Field(min_length=1)] = "data"
    """Folder of the data set; relative paths start at the folder the command is run in."""
    train_images: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Use only this many training images, spread evenly over the classes; absent: all."""
    test_images: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Use only this many test images, spread evenly over the classes; absent: all."""
    mean: Channels | None = None
    """Mean of each channel, images in [0, 1], for normalisation; absent: known for the set, or computed from it."""
    std: Channels | None = None
    """Standard deviation of each channel, images in [0, 1]; absent: known for the set, or computed from it."""
    augment: Annotated[str, Choice(OPERATIONS, _everywhere)] = "none"
    """Applied after crop and flip to every batch of every epoch (the paper's AugMix and RandAugment baselines)."""

    @model_validator(mode="after")
    def _channels_fit(self) -> DataSettings:
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be greater than 0 in every channel")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError(
                f"mean has {len(self.mean)} values and std {len(self.std)}; both need one for each channel"
            )
        return self


class ModelSettings(Section):
    """The network."""

    name: Annotated[str, Choice(NETWORKS)] = "preactresnet18"
    """Architecture."""
    width: Annotated[int, Field(ge=1, le=1024)] = 64
    """Width relative to the published network, which is 64: all channel counts scale with width / 64."""


class TrainSettings(Section):
    """Optimisation by SGD (paper, Section 5 and Appendix A)."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Passes over the training set, E."""
    schedule_epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Epochs that schedule and warm-up span, where not E; after them the last learning rate stays; absent: E."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    """Images a step; the last, smaller batch of an epoch is kept."""
    max_lr: Annotated[float, Field(gt=0)] = 0.1
    """Highest learning rate of the schedule."""
    schedule: Annotated[str, Choice(SCHEDULES)] = "piecewise"
    """Schedule of the learning rate."""
    objective: Annotated[str, Choice(OBJECTIVES)] = CROSS_ENTROPY
    """What the attack raises and the update lowers."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """L2 penalty on every parameter."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of initialisation, order of images, augmentation and random starts."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; auto: bfloat16 where the device is fast at it. Losses and thresholds are float32."""

    @property
    def span(self) -> int:
        """Epochs that the schedule and the warm-up span."""
        return self.schedule_epochs or self.epochs

    @model_validator(mode="after")
    def _something_is_learned(self) -> TrainSettings:
        schedule = SCHEDULES.get(self.schedule)
        if schedule is not None and schedule.ends_at_zero and self.epochs > self.span:
            raise ValueError(
                f"epochs is {self.epochs} and schedule_epochs {self.span}, after which the learning rate of the "
                f"{self.schedule} schedule is 0: epochs must not be more"
            )
        return self


class AttackSettings(Section):
    """The perturbation that is trained against (paper, Equation 2)."""

    name: Annotated[str, Choice(ATTACKS)] = "pgd"
    """The attack that is trained against."""
    norm: Literal["linf", "l2"] = "linf"
    """Norm that bounds the perturbation, in training and evaluation."""
    epsilon: Annotated[float, Field(ge=0)] = 8.0
    """Radius of the perturbation, in 1/255, for both norms (L2: 128 is 0.5)."""
    alpha: Annotated[float, Field(gt=0)] = 2.0
    """Step size, in 1/255."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Steps of PGD; FGSM takes one whatever stands here."""
    restarts: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Random starts; each image keeps the perturbation with the highest loss."""


class DomSettings(Section):
    """Distraction Over-Memorization (paper, Section 4, Algorithm 1)."""

    operate: Annotated[str, Choice(OPERATIONS)] = "remove"
    """What is done with high-confidence patterns after the warm-up; to augment them is DOM_DA."""
    threshold: Annotated[float, Field(gt=0)] = 1.5
    """Loss threshold T: a pattern with a natural loss under T is high-confidence."""
    rule: Annotated[str, Choice(THRESHOLDS)] = "fixed"
    """How T comes about in each step."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Fraction of the epochs before DOM begins, K; the step that completes it already runs DOM (t >= K E)."""
    strength: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Augmentation strength beta: weight of the augmented image while the model stays confident."""
    iterations: Annotated[int, Field(ge=0, le=100)] = 0
    """Augmentation iterations gamma, at the most, for each batch."""

    @model_validator(mode="after")
    def _augmentation_needs_iterations(self) -> DomSettings:
        operation = OPERATIONS.get(self.operate)
        if operation is not None and operation.augments and self.iterations == 0:
            raise ValueError(f'operate = "{self.operate}" needs iterations of at least 1, or it would change nothing')
        return self


class EvaluationSettings(Section):
    """What is measured on the test set."""

    attack: Literal["none", "pgd"] = "pgd"
    """none: natural accuracy only; pgd: PGD with the norm and epsilon of [attack], and one step for FGSM training."""
    alpha: Annotated[float, Field(gt=0)] = 2.0
    """Step size of the evaluation attack, in 1/255."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Steps of the evaluation attack (PGD-20)."""
    restarts: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Random starts of the evaluation attack."""
    every: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Evaluate after every so many epochs, and after the last."""
    train_attack: bool = False
    """Also attack the whole training set with the training attack at every evaluation (about the cost of an epoch)."""


class CheckpointSettings(Section):
    """Which states are kept besides the best and the last."""

    every: Annotated[int, Field(ge=0, le=100_000)] = 10
    """Keep the weights of every so many epochs; 0: of none."""


class MemorizationSettings(Section):
    """The per-pattern record."""

    record: bool = False
    """Keep the natural loss of every training pattern at every epoch in memorization.npy (float16)."""


class Settings(Section):
    """A whole experiment."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    attack: AttackSettings = AttackSettings()
    dom: DomSettings = DomSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    memorization: MemorizationSettings = MemorizationSettings()
    options: dict[str, float] = {}
    """Numbers of what is chosen by name above, as NAME-OPTION."""
    extensions: Annotated[tuple[str, ...], Strict(False)] = ()
    """Python files that add what may be chosen by name (docs/extending.md): paths, with the SHA-256 of each."""

    @field_validator("options")
    @classmethod
    def _options_are_known(cls, options: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if isinstance(info.context, dict) and UNKNOWN_TOO in info.context:
            return options
        wrong = [problem for key, value in options.items() for problem in _problems_of_option(key, value)]
        if wrong:
            raise ValidationError.from_exception_data("options", wrong)
        return options

    def to_dict(self) -> dict[str, Any]:
        """Return plain tables as they stand in a TOML file.

        Keys without a value are left out, and so is what is as it was before there was a setting for it: what earlier
        versions wrote then stays equal to what this one writes.
        """
        tables = self._tables()
        for section, key in ADDED_LATER:
            if tables[section][key] == type(getattr(self, section)).model_fields[key].default:
                del tables[section][key]
        known = all_options(own=True)  # of an extension's options only its trainer knows the defaults
        options = {key: value for key, value in self.options.items() if key not in known or value != known[key].default}
        return {**tables, "options": options} if options else _without(tables, "options")

    def complete(self) -> dict[str, Any]:
        """Return plain tables with every key that has a value."""
        options = {**{key: option.default for key, option in all_options().items()}, **self.options}
        return {**self._tables(), "options": options} if options else _without(self._tables(), "options")

    def _tables(self) -> dict[str, Any]:
        tables = self.model_dump(mode="json", exclude_none=True)
        if self.extensions:  # as a run names its copies of them
            return {"extensions": of_copies(self.extensions), **_without(tables, "extensions")}
        return _without(tables, "extensions")

    def digest(self) -> str:
        """Return a short fingerprint of everything but the seed: runs with the same digest are repetitions."""
        content = self.to_dict()
        del content["train"]["seed"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def fingerprint(self) -> str:
        """Return what a checkpoint must share with these settings for a run to go on from it, and all that follows.

        How far along its schedule a run goes is left out: that changes nothing of what is computed until then.
        """
        train = self.train.model_copy(update={"epochs": self.train.span, "schedule_epochs": None})
        return f"{self.model_copy(update={'train': train}).digest()}-seed{self.train.seed}"

    def doubts(self) -> list[str]:
        """Return what can be run and is probably not meant, a sentence each: strengths of attacks on another scale."""
        attack, evaluation = self.attack, self.evaluation
        trained, tested = attack.name != "none", evaluation.attack != "none"
        strengths = {
            "attack.epsilon": attack.epsilon if trained or tested else None,
            "attack.alpha": attack.alpha if trained else None,
            "evaluation.alpha": evaluation.alpha if tested else None,
        }
        found = (scale_doubt(key, value, attack.norm) for key, value in strengths.items() if value is not None)
        return [doubt for doubt in (*found, *self._without_effect()) if doubt is not None]

    def _without_effect(self) -> Iterator[str]:
        """Yield what is set for entries that are not chosen."""
        keys = [key.split(".") for kind in KINDS for key in kind.keys]
        chosen = {str(getattr(getattr(self, section), name)) for section, name in keys}
        for key in self.options:
            if not any(key.startswith(f"{name}-") for name in chosen):
                yield f"options.{key} has no effect: what it belongs to is not chosen by any setting"
        if self.extensions and all(
            kind.get(getattr(getattr(self, section), name)) is not None
            for kind in KINDS
            for section, name in (key.split(".") for key in kind.keys)
        ):
            yield "extensions are named, and no setting chooses anything that they add"


def choices(info: FieldInfo) -> tuple[str, ...]:
    """Return what a setting may be, where that is one of several words."""
    named = tuple(entry.name for entry in entries(info))
    return named or tuple(one for one in get_args(info.annotation) if isinstance(one, str))


def entries(info: FieldInfo) -> tuple[Entry, ...]:
    """Return the entries of the catalogue that a setting may name, none where it names none."""
    return next((one.entries for one in info.metadata if isinstance(one, Choice)), ())


def unwritten() -> dict[str, Any]:
    """Return the values, by section.key, that settings have which are not written."""
    defaults = Settings().complete()
    later = {f"{section}.{key}": defaults[section][key] for section, key in ADDED_LATER}
    return later | {f"options.{key}": value for key, value in defaults.get("options", {}).items()}


def _without(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: table for key, table in tables.items() if key != name}


def _problems_of_option(key: str, value: float) -> Iterator[InitErrorDetails]:
    option = all_options().get(key)
    if option is None:
        yield InitErrorDetails(type="extra_forbidden", loc=(key,), input=value)
    elif option.least is not None and value < option.least:
        yield InitErrorDetails(type="greater_than_equal", loc=(key,), input=value, ctx={"ge": option.least})
    elif option.most is not None and value > option.most:
        yield InitErrorDetails(type="less_than_equal", loc=(key,), input=value, ctx={"le": option.most})


def scale_doubt(name: str, value: float, norm: str) -> str | None:
    """Return a sentence about a radius or step size that was probably meant for images in [0, 1], or in [0, 255].

    A radius in the L2 norm may well be larger than the range of a pixel.
    """
    if 0 < value < 1:
        meant = f"{value * GREYS:.6g}"
        return (
            f"{name} is {value:g}, and it is in 1/255: that is less than a grey level of a pixel; "
            f"if {value:g} of images in [0, 1] is meant, write {meant}"
        )
    if value > GREYS and norm == "linf":
        return f"{name} is {value:g}, and it is in 1/255: that is more than from black to white; the paper takes 8/255"
    return None
