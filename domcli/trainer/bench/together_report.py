"""What was found of trainers at the same time, as the JSON object that it is handed on and kept as; no torch.

`schema` is raised when a key changes its meaning. `cases` are paradigms, each without and, where it can be had, with
NVIDIA's Multi-Process Service (`mps`); `together` tells of 1, 2, ... trainers at the same time, with every single
measurement: parts of the time in which all of them trained, and in each the steps/s of every trainer. Trainers that do
not fit into memory have no figures, which is a result; `problem` says why. `auto` is what `--jobs-per-gpu auto` takes.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from domcli import __version__
from domcli.settings import Settings
from domcli.sharing import figures
from domcli.sharing.figures import Figures, Together
from domcli.trainer.bench.cases import CASES, NETWORK, Options
from domcli.trainer.bench.messages import Machine

SCHEMA = 1


@dataclass
class Crowd:
    """So many trainers at the same time."""

    trainers: int
    threads: int | None = None
    engines: list[dict[str, str]] = field(default_factory=list)
    """How they did their steps, each way once."""
    seconds: float = 0.0
    """In which all of them trained."""
    rates: list[list[float]] = field(default_factory=list)
    """For each part of that time, the steps/s of each trainer."""
    memory: int | None = None
    """Bytes of the device that each takes."""
    fits: bool = True
    problem: str | None = None

    @property
    def steps_per_second(self) -> float:
        """Of all of them together; 0 where nothing was measured."""
        return statistics.fmean(map(sum, self.rates)) if self.rates else 0.0


@dataclass
class Paradigm:
    """A paradigm, with the service or without it."""

    name: str
    settings: Settings
    mps: bool
    crowds: list[Crowd] = field(default_factory=list)
    complete: bool = False
    problem: str | None = None

    @property
    def measured(self) -> list[Crowd]:
        return [crowd for crowd in self.crowds if crowd.rates]

    @property
    def decides(self) -> bool:
        """Whether it says how many are best: all that was asked for is measured, and that was more than one number."""
        return self.complete and len(self.crowds) > 1

    def alone(self) -> float | None:
        """Return the steps/s of one trainer alone, None if they are not known."""
        return next((crowd.steps_per_second for crowd in self.measured if crowd.trainers == 1), None)


class TogetherReport:
    """Everything found so far."""

    def __init__(self, options: Options, machine: Machine, product: str, cores: int, memory: int | None) -> None:
        self.machine = machine
        self.paradigms: list[Paradigm] = []
        self.service: str | None = None
        """Which Multi-Process Service was measured with."""
        self.service_problem: str | None = None
        """Why none was."""
        self.kept: str | None = None
        """The file in which figures are remembered."""
        self._options, self._product, self._cores, self._memory = options, product, cores, memory
        self._date = datetime.now(timezone.utc).isoformat(timespec="seconds")

    def figures(self, paradigm: Paradigm) -> Figures:
        """Return what is to be remembered of a paradigm."""
        settings = paradigm.settings
        return Figures(
            device=self._product,
            cores=self._cores if self.machine.device_type == "cpu" else None,
            mps=paradigm.mps,
            paradigm=settings.attack.name,
            model=settings.model.name,
            width=settings.model.width,
            batch_size=settings.train.batch_size,
            precision=self.machine.environment["precision"],
            torch=figures.torch_version(),
            domcli=__version__,
            date=self._date,
            together=tuple(self._together(paradigm)),
        )

    def content(self, complete: bool) -> dict[str, Any]:
        """Return the object."""
        environment: Mapping[str, Any] = self.machine.environment
        return {
            "schema": SCHEMA,
            "kind": "together",
            "complete": complete and all(one.complete for one in self.paradigms),
            "date": self._date,
            "domcli": __version__,
            **{key: value for key, value in environment.items() if key != "threads"},
            "cores": self._cores,
            "memory": self._memory,
            "model": NETWORK,
            "width": self._options.width,
            "batch_size": self._options.batch_size,
            "quick": self._options.quick,
            "mps": {"service": self.service, "problem": self.service_problem},
            "remembered": self.kept,
            "cases": [self._case(one) for one in self.paradigms if one.crowds],
        }

    def _case(self, paradigm: Paradigm) -> dict[str, Any]:
        together = self._together(paradigm)
        return {
            "case": paradigm.name,
            "preset": CASES[paradigm.name],
            "mps": paradigm.mps,
            "problem": paradigm.problem,
            "auto": figures.best(together, self._memory) if together and paradigm.decides else None,
            "together": [self._crowd(crowd, paradigm.alone()) for crowd in paradigm.crowds],
        }

    def _crowd(self, crowd: Crowd, alone: float | None) -> dict[str, Any]:
        steps, images = crowd.steps_per_second, self._options.batch_size
        known = steps if crowd.rates else None
        return {
            "trainers": crowd.trainers,
            "threads": crowd.threads,
            "engines": crowd.engines,
            "fits": crowd.fits,
            "problem": crowd.problem,
            "steps_per_second": known,
            "images_per_second": known and known * images,
            "times_one": known and alone and known / alone,
            "slow_down": known and alone and crowd.trainers * alone / known,
            "memory": crowd.memory,
            "seconds": crowd.seconds or None,
            "measurements": [{"steps_per_second": part} for part in crowd.rates],
        }

    def _together(self, paradigm: Paradigm) -> list[Together]:
        images = self._options.batch_size
        return [
            Together(trainers=crowd.trainers, images_per_second=crowd.steps_per_second * images, memory=crowd.memory)
            for crowd in paradigm.measured
        ]
