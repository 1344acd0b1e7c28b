"""`domcli run --dry-run`: what would be queued, where, and how long it would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli.cli import figures, output
from domcli.plural import counted, plural

if TYPE_CHECKING:
    from domcli.launch.order import Planned
    from domcli.ticket import Ticket


def show(planned: list[Planned], runs_dir: Path, *, as_json: bool) -> None:
    """Write the runs in queue order with their estimated time to stdout, and the time of all together."""
    from domcli.launch.estimate import Estimator, duration_of_all

    tickets = [one.ticket for one in planned]
    estimator = Estimator(runs_dir, tickets[0])
    seconds = [estimator.seconds(one.settings) for one in planned]
    # A run that shares a device with fewer others keeps those behind it waiting: only the fewest can be counted on.
    slots = min(map(_slots, tickets))
    total = duration_of_all(seconds, slots)
    known = [time for time in seconds if time is not None]
    of_known = duration_of_all(known, slots) if known else None
    if as_json:
        runs = _as_json(planned, seconds)
        devices = [device.name for device in tickets[0].devices]
        output.json_data(
            {"runs": runs, "devices": devices, "slots": slots, "seconds": total, "known_seconds": of_known}
        )
        return
    width = max(len(one.name) for one in planned)
    for one, time in zip(planned, seconds, strict=True):
        epochs = f"{one.settings.train.epochs:>4} {plural(one.settings.train.epochs, 'epoch'):6}"
        output.data(f"{one.name:{width}}  {epochs}  {_hours(time)}")
    text = counted(len(planned), "run")
    where = ", ".join(device.name for device in tickets[0].devices)
    part = "" if len(known) in (0, len(seconds)) else f" for {len(known)} of them, the others are not known"
    output.data(f"{text} on {where}, {_at_a_time(tickets)}: {_hours(of_known)}{part}")
    if known and any(ticket.jobs > 1 for ticket in tickets):
        output.note("runs that share a device take longer than those that were timed alone")
    if len(known) < len(seconds):
        whose = "its time is" if len(seconds) == 1 else "their times are"
        if known:
            unknown = len(seconds) - len(known)
            whose = f"the time of {unknown} of them is" if unknown == 1 else f"the times of {unknown} of them are"
        output.note(
            f"{whose} not known: no run with these settings has been timed here (an epoch of one is enough), nor has "
            "domcli bench measured them"
        )


def _as_json(planned: list[Planned], seconds: list[float | None]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "preset": one.preset,
            "seed": one.settings.train.seed,
            "seconds": time,
            "jobs_per_gpu": one.ticket.jobs,
        }
        for one, time in zip(planned, seconds, strict=True)
    ]


def _slots(ticket: Ticket) -> int:
    """Return how many runs like it can be at work at a time."""
    return len(ticket.devices) * ticket.jobs


def _at_a_time(tickets: list[Ticket]) -> str:
    fewest, most = min(map(_slots, tickets)), max(map(_slots, tickets))
    if most == 1:
        return "one after another"
    return f"{most} at a time" if fewest == most else f"{fewest} to {most} at a time"


def _hours(seconds: float | None) -> str:
    return "time not known" if seconds is None else f"about {figures.duration(seconds)}"
