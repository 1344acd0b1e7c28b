"""What the dashboard shows at one moment: frozen values that a thread makes and the widgets read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from domcli.devices import Gpu
from domcli.naming import RunName
from domcli.overfitting import Finding
from domcli.runs import Run

NO_FINDINGS: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Listed:
    """A run of the list. Its `run` may be a condensed one (see RunState.condensed)."""

    run: Run
    findings: tuple[Finding, ...] = NO_FINDINGS
    group: str = ""
    """The same for all runs that differ in their seed alone."""
    title: str = ""
    """What the group is called: the preset, and what tells it from other groups of that preset."""
    place: int | None = None
    """Its place in the queue, from 1, while it waits there."""
    waits: str | None = None
    """What it waits for beside those before it in the queue."""
    created: float = 0.0
    """When its settings were written, seconds since 1970."""
    counts: bool = True
    """Whether it counts in the numbers of its group: it has all of its epochs, and its seed is not there twice."""
    stem: str = ""
    """What its group is called without what tells it from others: the name its runs were given, or the preset."""

    @cached_property
    def name(self) -> str:
        return self.run.directory.name

    @cached_property
    def short(self) -> str:
        """What tells it from the runs of its group: `s0`, `s0 #2` for the second run of seed 0, or its own name."""
        return RunName(self.name, self.run.preset, self.seed).repetition(self.stem) or self.name

    @property
    def seed(self) -> int | None:
        train = self.run.settings.get("train")
        seed = train.get("seed") if isinstance(train, dict) else None
        return seed if isinstance(seed, int) else None


@dataclass(frozen=True)
class Changed:
    """A setting in which a run is not as its preset says, or in which several runs differ."""

    key: str
    values: tuple[str, ...]
    """Own and the preset's value, or a value for each of the runs."""
    quick: bool = False
    """Whether it is what `--quick` sets."""


@dataclass(frozen=True)
class Detail:
    """What only the run under the cursor needs: read from its directory when it changes."""

    name: str
    environment: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    """The last lines of trainer.log."""
    log_stamp: tuple[int, int] | None = None
    """Size and time stamp of the log when they were read."""
    changed: tuple[Changed, ...] | None = None
    """Settings that differ from the preset's, None while that is not known."""
    checkpoints: tuple[tuple[str, int], ...] = ()
    """Files in checkpoints/ with their bytes."""


@dataclass(frozen=True)
class Wanted:
    """What the widgets show at the moment: only of these runs are all epochs kept."""

    whole: frozenset[str] = frozenset()
    detail: str | None = None


class Reader(Protocol):
    """What reads for the widgets: the app."""

    def want(self, wanted: Wanted) -> None:
        """Say what is shown, so that it is read."""

    def hurry(self) -> None:
        """Have the runs looked at now."""


@dataclass(frozen=True)
class Snapshot:
    """All runs of a runs directory, oldest first, as they were at `time` (seconds since 1970)."""

    runs: tuple[Listed, ...] = ()
    whole: Mapping[str, Run] = field(default_factory=dict)
    """Runs with all of their epochs, by name: those that were wanted and could be read."""
    detail: Detail | None = None
    papers: Mapping[str, float] = field(default_factory=dict)
    """By group: the paper's best test accuracy for its settings, as a fraction."""
    unread: int = 0
    """Runs that are there and have not been looked at yet."""
    problem: str | None = None
    """Why the runs directory cannot be listed."""
    time: float = field(default=0.0, compare=False)

    @property
    def busy(self) -> bool:
        """True while something is going on that is worth looking at often."""
        return any(one.run.status in ("starting", "running") for one in self.runs)


@dataclass(frozen=True)
class System:
    """The GPUs of this machine at a moment, seconds since 1970."""

    gpus: tuple[Gpu, ...] = ()
    time: float = 0.0
