"""How many of the cores that this process may use are kept busy by other programs, from one look to another."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from domcli.devices import affinity
from domcli.events import BusyCores
from domcli.limits import read_limits

LEAST_MISSING = 0.5
"""Fewer cores that are missing are not worth a word."""
LEAST_SHARE = 0.1
"""Nor is a smaller share of the cores that are wanted."""
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
BUSY = (0, 1, 2, 5, 6, 7)
"""Columns of a core in /proc/stat: user, nice, system, both interrupts, stolen by other virtual machines."""


@dataclass(frozen=True)
class Look:
    """What had been used by some moment, in CPU seconds: of this process's cores, by its control group, by itself."""

    clock: float
    cores: int
    used: float | None
    limit: float | None
    used_in_group: float | None
    used_here: float
    """By this process, and by those that it has started and theirs."""


def look(root: Path = Path("/")) -> Look:
    """Look at the cores; takes milliseconds."""
    limits = read_limits(root)
    used = _used(root / "proc/stat")
    return Look(time.monotonic(), affinity(), used, limits.cores, limits.cores_used, _used_here())


def others(before: Look, after: Look) -> BusyCores | None:
    """Return how many cores other programs kept busy between two looks, on average; None where that cannot be told.

    Where a control group allows fewer cores than the machine has, what other processes in the group use counts, and
    what those outside do only as far as they leave less than the group allows.
    """
    seconds = after.clock - before.clock
    if before.used is None or after.used is None or seconds <= 0:
        return None
    here = after.used_here - before.used_here
    left = after.cores - max(0.0, after.used - before.used - here) / seconds
    allowed = float(after.cores)
    if after.limit is not None and after.limit < after.cores:
        allowed = after.limit
        in_group = (after.used_in_group or 0.0) - (before.used_in_group or 0.0)
        left = min(left, allowed - max(0.0, in_group - here) / seconds)
    return BusyCores(busy=round(min(max(0.0, allowed - left), allowed), 1), cores=allowed)


def in_the_way(found: BusyCores | None, threads: float) -> BusyCores | None:
    """Return what was found if so many threads lack cores for it, else None: whatever is left over is free to use."""
    if found is None:
        return None
    missing = min(threads, found.cores) - (found.cores - found.busy)
    return found if missing >= max(LEAST_MISSING, LEAST_SHARE * threads) else None


def _used(stat: Path) -> float | None:
    """Return the CPU seconds that this process's cores have been busy since the machine was started."""
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    ticks = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in stat.read_text().splitlines():
            name, *columns = line.split()
            if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in mine:
                ticks.append(sum(int(columns[place]) for place in BUSY))
    return sum(ticks) / TICKS if ticks else None


def _used_here() -> float:
    me = psutil.Process()
    seconds = 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:4])  # of its own and of those that it has waited for
    return seconds
