"""What the process of a benchmark and those that measure for it tell each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from domcli.settings import Settings
from domcli.trainer.bench.floor import Limits

Side = Literal["machine", "plain", "domcli", "trainer"]
Answers = Mapping[str, Callable[..., Any]]
"""What a side answers, by request."""


@dataclass(frozen=True)
class Job:
    """What a process is for; a measurement is of `steps` steps, on `device`."""

    side: Side
    settings: Settings
    device: str
    steps: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the process beside those of this one."""


@dataclass(frozen=True)
class Timed:
    """Seconds of each part of some work."""

    seconds: float
    cpu: float
    """CPU seconds of the process: on a shared machine, these count the work and not the waiting for a core."""


@dataclass(frozen=True)
class Measurement(Timed):
    """Seconds are per step."""

    loading: float
    """The part in which the plain loop waited for its DataLoader; domcli has none."""
    high_confidence: float
    """Share of the patterns with a natural loss under the threshold."""


@dataclass(frozen=True)
class Machine:
    """What is computed on: `device_type` is cpu or cuda, `environment` what is told of it."""

    device_type: str
    environment: dict[str, Any]
    limits: Limits
    threshold: float


@dataclass(frozen=True)
class Prepared:
    """What a trainer tells before it trains beside others."""

    step_seconds: float
    """About; the others may have been busy meanwhile."""
    memory: int
    """The most bytes that its process has taken of the device's memory, without what the driver takes."""
    threads: int
    engine: dict[str, str]


@dataclass(frozen=True)
class Failure:
    """What a process answers when it cannot."""

    reason: str
    memory: bool = False
    """Whether memory did not suffice."""
