"""How long a start takes, from the launch of the trainer to the end of its first step."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from domcli import cores
from domcli.events import BusyCores

Stage = Literal["interpreter", "torch", "device", "data", "network", "first_step"]


@dataclass
class Startup:
    """When each stage was done, in order, and how many CPU seconds it all had taken by then: compilers that it started
    are counted."""

    marks: list[tuple[Stage, float, float]] = field(default_factory=list)
    first_look: cores.Look = field(default_factory=cores.look)

    def done(self, stage: Stage) -> None:
        """Note that a stage is done. `interpreter` is Python and domcli's own modules, `network` also what is restored
        from a checkpoint and, on a CPU, the choice of how to compute."""
        self.marks.append((stage, time.time(), _cpu_seconds()))

    def busy_cores(self, threads: int) -> BusyCores | None:
        """Return how many cores other programs have kept busy since the start began, if so many threads lack them."""
        return cores.in_the_way(cores.others(self.first_look, cores.look()), threads)

    def describe(self, launched: float) -> dict[str, Any]:
        """Return what environment.json says of this start: seconds and CPU seconds of each stage, and the total.

        `launched` is when the process was launched, in seconds since 1970. Where a step runs on a GPU, the first one
        counts until it has been handed over.
        """
        seconds: dict[str, float] = {}
        cpu_seconds: dict[str, float] = {}
        before, cpu_before = launched, 0.0
        for stage, clock, cpu in self.marks:
            seconds[stage], cpu_seconds[stage] = clock - before, cpu - cpu_before
            before, cpu_before = clock, cpu
        seconds["total"], cpu_seconds["total"] = before - launched, cpu_before
        return {"startup": {"seconds": _rounded(seconds), "cpu_seconds": _rounded(cpu_seconds)}}


def _cpu_seconds() -> float:
    used = (resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 3) for stage, value in seconds.items()}
