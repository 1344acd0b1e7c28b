"""The schedules of the learning rate, as shares of its maximum over the epochs that they span; no torch needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domcli.catalogue.entry import Entry, Kind

DROPS = ((1 / 2, 10), (3 / 4, 100))
"""After which share of the epochs the piecewise rate is the maximum divided by what; up to that moment, inclusive, as
before."""


@dataclass(frozen=True, kw_only=True)
class Schedule(Entry):
    """A schedule."""

    rate: Callable[[float, float, float], float]
    """The learning rate at fractional epoch t, from t, the epochs that it spans and the maximum."""
    drops: tuple[tuple[float, float], ...] = ()
    """When the rate drops at once: after which share of the epochs, to the maximum divided by what."""
    ends_at_zero: bool = False
    """Whether nothing is learned after its end."""

    @property
    def needs_work(self) -> bool:
        """Whether something must do its work: this says it all."""
        return False


def _piecewise(t: float, epochs: float, highest: float) -> float:
    return highest / max((divisor for share, divisor in DROPS if t > epochs * share), default=1)


def _cyclical(t: float, epochs: float, highest: float) -> float:
    return highest * max(0.0, 1.0 - abs(2.0 * t / epochs - 1.0))


SCHEDULES = Kind(
    "schedule",
    ("train.schedule",),
    Schedule,
    Schedule(name="piecewise", about="max_lr, a tenth after E/2, a hundredth after 3E/4", rate=_piecewise, drops=DROPS),
    Schedule(name="cyclical", about="0 to max_lr at E/2 and back to 0", rate=_cyclical, ends_at_zero=True),
)
