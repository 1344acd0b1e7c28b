"""Mean and standard deviation of a group, epoch by epoch, for plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domcli.compare.groups import Group
from domcli.compare.records import Record
from domcli.compare.statistics import summarise
from domcli.events import EpochEnd


@dataclass(frozen=True)
class Quantity:
    """Something that has a value in every epoch: its name, its unit (empty: a count), and where the event has it."""

    name: str
    title: str
    unit: str
    value: Callable[[EpochEnd], float | None]

    @property
    def label(self) -> str:
        """Return title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True)
class Curve:
    """A quantity over the epochs in which every run of the group has it; `std` is None for a single run."""

    group: str
    quantity: Quantity
    n: int
    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...] | None


def _test(name: str, scale: float = 1.0) -> Callable[[EpochEnd], float | None]:
    return lambda end: _scaled(getattr(end.test, name, None), scale)


def _patterns(name: str) -> Callable[[EpochEnd], float | None]:
    return lambda end: _scaled(getattr(end.memorization, name, None), 1.0)


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


QUANTITIES = (
    Quantity("natural", "Natural test accuracy", "%", _test("natural_accuracy", 100)),
    Quantity("pgd", "PGD test accuracy", "%", _test("pgd_accuracy", 100)),
    Quantity("one-step", "One-step test accuracy", "%", _test("one_step_accuracy", 100)),
    Quantity("natural-loss", "Natural test loss", "nats", _test("natural_loss")),
    Quantity("pgd-loss", "PGD test loss", "nats", _test("pgd_loss")),
    Quantity("one-step-loss", "One-step test loss", "nats", _test("one_step_loss")),
    Quantity("train-loss", "Natural training loss", "nats", lambda end: end.train.natural_loss),
    Quantity("high-confidence", "High-confidence patterns", "", _patterns("high_confidence")),
    Quantity("original", "Original patterns", "", _patterns("original")),
    Quantity("transformed", "Transformed patterns", "", _patterns("transformed")),
)


def curve(group: Group, quantity: Quantity) -> Curve | None:
    """Return the curve of a group over the epochs in which each of its runs has a value; None where there is none.

    Epochs are matched exactly; nothing is interpolated, and no run is left out of some epochs and counted in others.
    """
    series = [_series(record, quantity) for record in group.records]
    if not series:
        return None
    common = sorted(set(series[0]).intersection(*series[1:]))
    if not common:
        return None
    found = [summarise([values[epoch] for values in series]) for epoch in common]
    mean = tuple(summary.mean for summary in found if summary.mean is not None)
    std = tuple(summary.std for summary in found if summary.std is not None)
    return Curve(group.name, quantity, len(series), tuple(common), mean, std or None)


def _series(record: Record, quantity: Quantity) -> dict[int, float]:
    until = record.last.epoch if record.last else 0
    values = ((end.epoch, quantity.value(end)) for end in record.run.state.epochs if end.epoch <= until)
    return {epoch: value for epoch, value in values if value is not None}
