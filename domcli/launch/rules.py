"""Which run can be stopped, killed, resumed, retried or deleted now, and if not, why.

Asked of a run as it was read, and answered without a look at anything else: a list asks for all of its runs.
"""

from __future__ import annotations

from typing import Literal

from domcli.errors import ProcessError
from domcli.runs import Run

AT_WORK = ("queued", "starting", "running")
WITH_TRAINER = ("starting", "running")
FAILED = ("failed", "lost")

Verb = Literal["stop", "kill", "resume", "extend", "retry", "delete"]
"""What can be done to runs; to extend is to train on to another number of epochs."""
Hindrance = Literal["ended", "queued", "at work", "complete", "unreadable", "not failed", "diverged"]
"""What may stand in the way."""


class Hindered(ProcessError):
    """What was to be done to a run cannot be done, for a reason that `hindrance` knows."""

    def __init__(self, run: Run, why: Hindrance) -> None:
        self.why = why
        super().__init__(sentence(run, why))


def hindrance(verb: Verb, run: Run) -> Hindrance | None:
    """Return what keeps a run from what is to be done to it; None if nothing does."""
    if verb in ("stop", "kill"):
        return None if run.status in AT_WORK else "ended"
    if run.status in WITH_TRAINER:
        return "at work"
    return None if verb == "delete" else _why_not_again(verb, run)


def can(verb: Verb, run: Run) -> bool:
    """Tell whether nothing keeps a run from what is to be done to it."""
    return hindrance(verb, run) is None


def sentence(run: Run, why: Hindrance) -> str:
    """Return what keeps a run from what was to be done to it, in words."""
    name = run.directory.name
    pid = f" (process {run.process.pid})" if run.process else ""
    says: dict[Hindrance, str] = {
        "ended": f"{name} has no trainer to stop: it is {run.status}",
        "queued": f"{name} is queued already",
        "at work": f"{name} already has a trainer{pid}; stop it first",
        "complete": f"{name} is finished: there is nothing left to resume",
        "unreadable": run.problem or f"{name} cannot be read",
        "not failed": f"{name} has not failed: it is {run.status}",
        "diverged": f"{name} diverged, and would again: other settings are needed, in a new run",
    }
    return says[why]


def _why_not_again(verb: Verb, run: Run) -> Hindrance | None:
    """Return what keeps a run from being queued once more."""
    if run.status == "queued":
        return "queued"
    if verb == "retry" and run.status not in FAILED:
        return "not failed"
    if verb != "extend" and is_complete(run):
        return "complete"
    if run.problem is not None and not run.settings:
        return "unreadable"
    return "diverged" if verb == "retry" and run.state.diverged else None


def is_complete(run: Run) -> bool:
    """Tell whether a run is finished and its settings ask for no more epochs than it was started for."""
    train, started = run.settings.get("train"), run.state.started
    wanted = train.get("epochs") if isinstance(train, dict) else None
    more = started is not None and isinstance(wanted, int) and wanted > started.epochs
    return run.status == "finished" and not more
