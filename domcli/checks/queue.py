"""The queue of the runs directory: what waits, who advances it, and which runs were lost."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path

from domcli import finding, process
from domcli.checks.check import Check, plural
from domcli.runs import Run, read_run

MOST_NAMES = 5


def read_runs(runs_dir: Path) -> list[Run]:
    """Return every run of a folder as it is now. Raises RunDirectoryError if the folder cannot be listed."""
    return [read_run(directory, brief=True) for directory in finding.list_runs(runs_dir)]


def trainers(runs: Sequence[Run]) -> dict[int, str]:
    """Return the runs at work on this machine by the process id of their trainer."""
    return {
        run.process.pid: run.directory.name
        for run in runs
        if run.process is not None and process.liveness(run.process) == "alive"
    }


def check(runs: Sequence[Run], *, supervised: bool, user: int | None = None) -> list[Check]:
    """Check the queue; `supervised` is whether this user's supervisor is at work here, `user` defaults to this one."""
    user = os.getuid() if user is None else user
    return [_waiting(runs, supervised, user), *_lost(runs), *_unreadable(runs)]


def _waiting(runs: Sequence[Run], supervised: bool, user: int) -> Check:
    queued = [run for run in runs if run.status == "queued"]
    own = [run for run in queued if run.ticket and (run.ticket.host, run.ticket.owner) == (socket.gethostname(), user)]
    busy = sum(run.status in ("starting", "running") for run in runs)
    others = f" ({len(queued) - len(own)} of another user or machine)" if len(own) < len(queued) else ""
    at_work = "a supervisor is at work" if supervised else "no supervisor is at work"
    text = f"{plural(len(queued), 'run')} waiting{others}, {busy} at work, {at_work}"
    details = {"waiting": len(queued), "own_waiting": len(own), "at_work": busy, "supervised": supervised}
    if own and not supervised:
        return Check("queue", "warning", text, "domcli runs starts one", details)
    return Check("queue", "ok", text, None, details)


def _lost(runs: Sequence[Run]) -> list[Check]:
    lost = [run.directory.name for run in runs if run.status == "lost"]
    if not lost:
        return []
    text = f"{plural(len(lost), 'run')} lost, the trainer ended without a word: {_some(lost)}"
    command = shlex.join(["domcli", "resume", lost[0]])
    return [Check("lost runs", "warning", text, f"go on from the last checkpoint with: {command}")]


def _unreadable(runs: Sequence[Run]) -> list[Check]:
    damaged = [run for run in runs if run.problem is not None]
    if not damaged:
        return []
    text = f"{plural(len(damaged), 'run')} cannot be read whole: {_some([run.directory.name for run in damaged])}"
    return [Check("damaged runs", "warning", text, f"the first of them: {damaged[0].problem}")]


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
