"""Run directories and tickets for the tests of what is in them and of how they are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from domcli.devices import CPU
from domcli.rundir import RunDirectory, create
from domcli.ticket import Ticket

TABLES: dict[str, Any] = {"train": {"epochs": 3, "max_lr": 0.1}}


def make(runs: Path, name: str, age: int = 0) -> RunDirectory:
    """Create a run as if `age` seconds ago."""
    run = create(runs, name, TABLES, {"python": "3"})
    os.utime(run.settings, (1_000_000 - age, 1_000_000 - age))
    return run


def ticket(name: str, **changes: Any) -> Ticket:
    usual = {"queued": 10.0, "host": "here", "owner": os.geteuid(), "folder": "/", "devices": (CPU,)}
    return Ticket(id=name, **{**usual, **changes})
