"""How long a queue will take, from the runs that are listed with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domcli.cli.summary import total_epochs
from domcli.launch.estimate import cost_key, duration_of_all, image_folder

if TYPE_CHECKING:
    from domcli.runs import Run
    from domcli.ticket import Ticket


@dataclass(frozen=True)
class QueueTime:
    """About how long it takes until the last queued run is done."""

    seconds: float
    """Of the runs of which that can be told."""
    unknown: int
    """How many others there are."""


def queue_time(runs: Sequence[Run], places: Mapping[str, int]) -> QueueTime | None:
    """Return how long the queue will take, at the pace of runs of the same setting.

    None if nothing is queued, runs wait in several queues or for different devices, or none has been timed.
    """
    waiting = sorted((run for run in runs if run.directory.name in places), key=lambda run: places[run.directory.name])
    tickets = [run.ticket for run in waiting if run.ticket is not None]
    if not tickets or len({(ticket.host, ticket.owner, ticket.devices) for ticket in tickets}) > 1:
        return None
    ticket = tickets[0]
    ahead = [run.state.remaining_seconds() for run in runs if run.status == "running" and _at_work_here(run, ticket)]
    ahead += [None for run in runs if run.status == "starting" and _at_work_here(run, ticket)]
    slots = len(ticket.devices) * min(ticket.jobs for ticket in tickets)
    each = [*ahead, *_durations(runs, waiting, ticket)]
    known = [seconds for seconds in each if seconds is not None]
    seconds = duration_of_all(known, slots) if known else None
    return None if seconds is None else QueueTime(seconds, len(each) - len(known))


def _durations(runs: Sequence[Run], waiting: Sequence[Run], ticket: Ticket) -> list[float | None]:
    timed = [(_cost(run), run) for run in runs if run.state.epochs and _timed_here(run, ticket)]
    found: list[float | None] = []
    for run in waiting:
        wanted, total = _cost(run), total_epochs(run)
        paces = [one.state.seconds / one.state.epochs_done for key, one in timed if key == wanted]
        if paces and total is not None:
            found.append(sum(paces) / len(paces) * max(0, total - run.state.epochs_done))
        else:
            found.append(None)
    return found


def _cost(run: Run) -> object:
    """Return what an epoch takes is decided by; images are not counted here, and a folder is as large as itself."""
    return cost_key(run.settings, image_folder(run.settings))


def _at_work_here(run: Run, ticket: Ticket) -> bool:
    return run.process is not None and run.process.host == ticket.host


def _timed_here(run: Run, ticket: Ticket) -> bool:
    """Tell whether the run has trained on this machine, on a device of the kind that the queue waits for."""
    started = run.state.started
    kinds = {device.is_gpu for device in ticket.devices}
    return _at_work_here(run, ticket) and started is not None and {started.device != "cpu"} == kinds
