"""What is measured: cases named after paradigm and DOM kind, each with the preset whose settings it takes; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domcli.catalogue import ATTACKS
from domcli.errors import SettingsError
from domcli.presets import resolve
from domcli.printable import quoted
from domcli.settings import ModelSettings, Settings

CASES = {
    "natural": "natural-baseline",
    "natural-remove": "natural-dom-re",
    "natural-augmix": "natural-dom-augmix",
    "natural-randaugment": "natural-dom-randaugment",
    "natural-augmix-all": "natural-augmix",
    "natural-randaugment-all": "natural-randaugment",
    "fgsm": "fgsm-baseline",
    "fgsm-remove": "fgsm-dom-re",
    "fgsm-augmix": "fgsm-dom-augmix",
    "fgsm-randaugment": "fgsm-dom-randaugment",
    "pgd-10": "pgd-baseline",
    "pgd-10-remove": "pgd-dom-re",
    "pgd-10-augmix": "pgd-dom-augmix",
    "pgd-10-randaugment": "pgd-dom-randaugment",
}
"""Every case is measured after the warm-up. *All* augments every image of every batch, without DOM."""

NETWORK = ModelSettings().name
"""The network of all of these presets."""


@dataclass(frozen=True)
class Count:
    """How many of something, by how long a step takes: without an attack, with one of one step, of several."""

    natural: int
    one_step: int
    several_steps: int

    def of(self, settings: Settings) -> int:
        """Return how many, for settings."""
        attack = ATTACKS[settings.attack.name]
        if not attack.perturbs:
            return self.natural
        return self.one_step if attack.one_step else self.several_steps


PAIRS = Count(7, 5, 3)
"""Pairs of measurements of a case: a plain PGD-10 step takes most of a minute on two CPU cores."""
QUICK_PAIRS = Count(2, 2, 1)
EVALUATIONS = 3
"""Times that an evaluation is measured, after one that warms up; once with `--quick`."""

STEPS = Count(100, 50, 20)
"""Steps of one measurement on CUDA, so that the host can run ahead as it does in training; 1 on a CPU."""

PARADIGMS = ("natural", "fgsm", "pgd-10")
"""The cases of which trainers are measured that train at the same time."""
TRAINERS = (1, 2, 4, 8)
"""How many; on a CPU no more than it has cores."""

TEST_IMAGES = {"cuda": 10_000, "cpu": 128}
"""Images of a measured evaluation: the whole test set on CUDA, one batch on a CPU."""

STILL = 1e-6
"""A learning rate that leaves the network as it was initialised: random labels then stay half high-confidence."""


@dataclass(frozen=True)
class Options:
    """What a benchmark is asked to measure, and how."""

    device: str = "auto"
    only: tuple[str, ...] = ()
    """Cases; empty: all."""
    quick: bool = False
    width: int = 64
    batch_size: int = 128
    pairs: int | None = None
    """Pairs of measurements of each case; None: as PAIRS or QUICK_PAIRS say."""
    trainers: tuple[int, ...] = ()
    """How many train at the same time; empty: as TRAINERS says."""

    def cases(self) -> tuple[str, ...]:
        """Return the cases in their order. Raises SettingsError for one that is none."""
        for name in self.only:
            if name not in CASES:
                raise SettingsError(f"unknown case {quoted(name)}; the cases are {', '.join(CASES)}")
        return tuple(name for name in CASES if not self.only or name in self.only)

    def paradigms(self) -> tuple[str, ...]:
        """Return the cases of trainers that train at the same time. Raises SettingsError for one that is none."""
        for name in self.only:
            if name not in PARADIGMS:
                raise SettingsError(f"--together does not measure {quoted(name)}; it measures {', '.join(PARADIGMS)}")
        return tuple(name for name in PARADIGMS if not self.only or name in self.only)

    def settings(self, case: str, threshold: float | None = None) -> Settings:
        """Return the settings of a case, with the threshold T that is wanted in place of the preset's."""
        overrides = [f"model.width={self.width}", f"train.batch_size={self.batch_size}", f"train.max_lr={STILL}"]
        if threshold is not None:
            overrides.append(f"dom.threshold={threshold}")
        return resolve(CASES[case], overrides)

    def pairs_of(self, settings: Settings) -> int:
        """Return how often a case is measured, after the pair that warms up."""
        return self.pairs or (QUICK_PAIRS if self.quick else PAIRS).of(settings)

    def compares(self, settings: Settings) -> bool:
        """Tell whether the plain loop takes part; `--quick` leaves it out for PGD and for DOM, which take longest."""
        if settings.data.augment != "none":
            return False
        return not self.quick or not (ATTACKS[settings.attack.name].several_steps or settings.dom.operate != "none")


def steps_of(settings: Settings, device_type: str) -> int:
    """Return the steps of one measurement of a case."""
    return STEPS.of(settings) if device_type == "cuda" else 1


def evaluates(settings: Settings) -> bool:
    """Tell whether the evaluation is measured beside this case: once a paradigm, where there is no DOM."""
    return settings.dom.operate == "none" and settings.data.augment == "none"


def check(options: Options, *, together: bool = False) -> Sequence[str]:
    """Return the cases, after everything that can be refused without torch has been. Raises SettingsError."""
    cases = options.paradigms() if together else options.cases()
    for case in cases:
        options.settings(case)
    return cases
