"""What a finding is, and what every rule of the overfitting watch shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from domcli.catalogue import ATTACKS, DATASETS
from domcli.events import EpochEnd, Started, TestMetrics

Kind = Literal[
    "catastrophic-overfitting", "robust-overfitting", "natural-overfitting", "memorization-jump", "divergence"
]
Severity = Literal["notice", "warning", "critical"]

BADGES: dict[Kind, str] = {
    "catastrophic-overfitting": "CO",
    "robust-overfitting": "RO",
    "natural-overfitting": "NO",
    "memorization-jump": "memorizing",
    "divergence": "diverged",
}

NOISE = 4.0
"""Standard errors of the evaluation that a change must exceed: a run has hundreds of pairs of epochs to compare."""

UNKNOWN_TEST_SIZE = 1000
"""Images taken for the standard error where the size of the test set is not known: cautious for the usual sets."""

FEW_CLASSES = 10
"""Classes taken where it is not known how many there are."""


@dataclass(frozen=True)
class Context:
    """What the watch has to know besides the epochs."""

    attack: str = "pgd"
    """The attack trained against, by its name."""
    test_size: int = UNKNOWN_TEST_SIZE
    """Images in the test set."""
    classes: int = FEW_CLASSES

    @property
    def adversarial(self) -> bool:
        found = ATTACKS.get(self.attack)
        return found is None or found.perturbs

    def error(self, one: float, other: float) -> float:
        """Return the standard error of a test accuracy between these two, because the test set is finite.

        Of a binomial share with two successes and two failures added (Agresti and Coull 1998): the plain error is 0
        where every image is right, which says nothing about the next evaluation.
        """
        share = ((one + other) / 2 * self.test_size + 2) / (self.test_size + 4)
        return math.sqrt(max(0.0, share * (1 - share)) / (self.test_size + 4))

    def noise(self, one: float, other: float) -> float:
        """Return how far the test accuracies of two evaluations may be apart by chance: NOISE standard errors."""
        return NOISE * math.sqrt(2) * self.error(one, other)


@dataclass(frozen=True)
class Finding:
    """Something that happened in a run; `epoch` is where it began, `reason` one sentence with the numbers."""

    kind: Kind
    epoch: int
    severity: Severity
    reason: str

    @property
    def badge(self) -> str:
        """A short word for lists and charts."""
        return BADGES[self.kind]


def context_of(tables: dict[str, Any], started: Started | None = None) -> Context:
    """Return the context from the tables of settings.toml and the run's Started event.

    Missing keys have the defaults of the settings. Without the event, `test_images` of [data] and UNKNOWN_TEST_SIZE
    stand in for the size of the test set, and the name of the data set for the classes.
    """
    attack, data = (tables.get(name) for name in ("attack", "data"))
    attack = attack if isinstance(attack, dict) else {}
    data = data if isinstance(data, dict) else {}
    name, dataset = attack.get("name"), DATASETS.get(data.get("dataset"))
    size = data.get("test_images")
    return Context(
        attack=name if isinstance(name, str) else "pgd",
        test_size=started.test_size if started else size if isinstance(size, int) else UNKNOWN_TEST_SIZE,
        classes=started.classes if started else (dataset.classes if dataset else None) or FEW_CLASSES,
    )


def evaluated(epochs: Sequence[EpochEnd]) -> list[tuple[EpochEnd, TestMetrics]]:
    return [(epoch, epoch.test) for epoch in epochs if epoch.test is not None]


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
