"""What is told of runs that are queued or at work, whatever view shows them."""

from __future__ import annotations

import os

from domcli import files
from domcli.launch.rules import AT_WORK
from domcli.printable import printable_line
from domcli.rundir import RunDirectory
from domcli.runs import Run

LOG_TAIL_BYTES = 8192
LOADING = "loading PyTorch and the data"
"""What a trainer does before its first event."""


def ended(run: Run, *, retried: bool = True) -> bool:
    """Tell whether nothing more comes of a run by itself: it has ended, and without its ticket it is not retried.

    Nor is it where the queue is not advanced, which `retried` says.
    """
    mine = retried and run.ticket is not None and run.ticket.owner == os.getuid()
    return run.status not in AT_WORK and not mine


def starting(run: Run, now: float) -> str:
    """Return for how long a trainer has been at its start, and what takes the time until it says something."""
    waited = max(0.0, now - run.process.launched) if run.process is not None else 0.0
    return f"starting ({waited:.0f} s; {LOADING})"


def log_tail(run: RunDirectory, lines: int) -> list[str]:
    """Return the last lines of trainer.log that say something; a line redrawn with carriage returns counts once."""
    try:
        text = files.read_tail(run.log, LOG_TAIL_BYTES)[0].decode(errors="surrogateescape")
    except OSError:
        return []
    found = (line.rstrip().rpartition("\r")[2] for line in text.split("\n"))
    return [printable_line(line) for line in found if line.strip()][-lines:]
