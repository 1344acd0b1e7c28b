"""Stop, kill, resume, retry and delete runs, several at once: what came of each. Every function blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from domcli import locks
from domcli.errors import DomcliError, StorageError
from domcli.launch import queue
from domcli.launch.launcher import launcher_of
from domcli.launch.rules import Hindered, Verb, hindrance
from domcli.rundir import RunDirectory
from domcli.runs import Run

if TYPE_CHECKING:
    from domcli.launch.terms import Terms
    from domcli.process import ProcessIdentity
    from domcli.settings import Settings
    from domcli.ticket import Ticket

Happened = Literal["asked", "taken out of the queue", "killed", "queued", "deleted"]


@dataclass(frozen=True)
class Result:
    """What came of one run: what happened to it, or why it did not. A run may be deleted but for some of its files."""

    directory: RunDirectory
    happened: Happened | None = None
    error: DomcliError | None = None
    process: ProcessIdentity | None = None
    """The trainer that was asked to stop, or killed."""


def stop(runs: Sequence[Run]) -> list[Result]:
    """Ask trainers to write a checkpoint and stop, which they are not waited for; take runs out of the queue."""
    return _end(runs, lambda run: launcher_of(run).stop(run), "asked")


def kill(runs: Sequence[Run]) -> list[Result]:
    """End trainers at once; take runs out of the queue."""
    return _end(runs, lambda run: launcher_of(run).kill(run), "killed")


def resume(
    runs: Sequence[Run], terms: Terms, verb: Literal["resume", "extend", "retry"] = "resume", epochs: int | None = None
) -> list[Result]:
    """Queue runs that are to go on from their last checkpoints, to extend to so many epochs, and see to the queue.

    Raises SettingsError or DeviceError, before any is queued, for terms that cannot be met.
    """
    results: dict[Path, Result] = {}
    settings: dict[Path, Settings] = {}
    for run in runs:
        found = _settings_of(run, verb)
        if isinstance(found, DomcliError):
            results[run.directory.path] = Result(run.directory, error=found)
        else:
            settings[run.directory.path] = found
    tickets = terms.tickets(list(settings.values())) if settings else []
    for path, ticket in zip(settings, tickets, strict=True):
        wanted = msgspec.structs.replace(ticket, epochs=epochs)
        results[path] = _attempt(RunDirectory(path), partial(_enqueue, ticket=wanted))
    for folder in {path.parent for path in settings}:
        queue.wake(folder)
    return [results[run.directory.path] for run in runs]


def delete(runs: Sequence[Run]) -> list[Result]:
    """Remove runs with everything in them; a run at work is not removed."""
    return [_attempt(run.directory, _delete) for run in runs]


def undeletable(run: Run) -> DomcliError | None:
    """Return the error in which deleting a run would end, as far as that can be told before."""
    if hindrance("delete", run) is not None or locks.is_held(run.directory.lock):
        return Hindered(run, "at work")
    try:
        queue.require_made(run.directory)
        run.directory.require_own("delete")
    except DomcliError as error:
        return error
    return None


def _end(
    runs: Sequence[Run], ask: Callable[[RunDirectory], ProcessIdentity], happened: Literal["asked", "killed"]
) -> list[Result]:
    """Take runs out of the queue or else end their trainers; what waits goes first, as others make room for it."""

    def end(directory: RunDirectory) -> Result:
        identity = queue.request_end(directory, ask)
        return Result(directory, "taken out of the queue" if identity is None else happened, process=identity)

    waiting_first = sorted(runs, key=lambda run: run.status != "queued")
    results = {run.directory.path: _attempt(run.directory, end) for run in waiting_first}
    return [results[run.directory.path] for run in runs]


def _settings_of(run: Run, verb: Verb) -> Settings | DomcliError:
    """Return the settings by which a run goes on, or the error that says why it cannot."""
    from domcli.presets import from_run

    why = hindrance(verb, run)
    if why is not None and why != "unreadable":  # of that there is more to tell below
        return Hindered(run, why)
    try:
        run.directory.require_own("resume")
        run.directory.require_untouched()
        return from_run(run.directory)
    except DomcliError as error:
        return error


def _enqueue(directory: RunDirectory, ticket: Ticket) -> Result:
    queue.enqueue(directory, ticket)
    return Result(directory, "queued")


def _delete(directory: RunDirectory) -> Result:
    try:
        queue.delete(directory)
    except DomcliError as error:
        return Result(directory, None if os.path.lexists(directory.path) else "deleted", error)
    return Result(directory, "deleted")


def _attempt(directory: RunDirectory, act: Callable[[RunDirectory], Result]) -> Result:
    try:
        return act(directory)
    except DomcliError as error:
        return Result(directory, error=error)
    except OSError as error:
        return Result(directory, error=StorageError(str(error)))
