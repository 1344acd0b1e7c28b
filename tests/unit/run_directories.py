"""Run directories and tickets for the tests of what is in them and of how they are found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domcli.devices import CPU
from domcli.launch import local, order, queue
from domcli.launch.access import sole_access
from domcli.launch.order import Planned
from domcli.launch.placement import Placement
from domcli.naming import default_name
from domcli.origin import Origin
from domcli.rundir import RunDirectory, create, unused_name
from domcli.settings import Settings
from domcli.ticket import Ticket

TABLES: dict[str, Any] = {"train": {"epochs": 3, "max_lr": 0.1}}


def make(runs: Path, name: str, age: int = 0) -> RunDirectory:
    """Create a run as if `age` seconds ago."""
    run = create(runs, name, TABLES, {"python": "3"})
    os.utime(run.settings, (1_000_000 - age, 1_000_000 - age))
    return run


def created(
    runs: Path,
    settings: Settings,
    preset: str = "pgd-dom-re",
    *,
    name: str | None = None,
    ticket: Ticket | None = None,
    quick: bool = False,
    command: str = "domcli run",
) -> RunDirectory:
    """Create a run as a command does, in the queue if it has a ticket."""
    words = tuple(command.split())
    origin = Origin(command=words, presets=(preset,), preset=preset, quick=quick, name=name)
    usual = default_name(order.preset_name(preset), settings.train.seed, quick)
    planned = Planned(name or unused_name(runs, usual), settings, ticket or queue.new_ticket((CPU,)), origin)
    run = order.create([planned], runs)[0]
    if ticket is None:
        run.ticket.unlink()
    return run


def started(
    run: RunDirectory, placement: Placement | None = None, *, command: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start a trainer as the supervisor does."""
    with sole_access(run) as lock:
        return local.start(run, placement or Placement(), lock, command)


def ticket(name: str, **changes: Any) -> Ticket:
    usual = {"queued": 10.0, "host": "here", "owner": os.geteuid(), "folder": "/", "devices": (CPU,)}
    return Ticket(id=name, **{**usual, **changes})
