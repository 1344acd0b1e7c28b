"""`domcli run --dry-run`: what would be queued, where, and how long it would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domcli.cli import figures, output

if TYPE_CHECKING:
    from domcli.cli.plan import Planned
    from domcli.ticket import Ticket


def show(planned: list[Planned], tickets: list[Ticket], runs_dir: Path, *, as_json: bool) -> None:
    """Write the runs in queue order with their estimated time to stdout, and the time of all together."""
    from domcli.launch.estimate import Estimator, duration_of_all

    estimator = Estimator(runs_dir, tickets[0])
    seconds = [estimator.seconds(one.settings) for one in planned]
    slots = len(tickets[0].devices) * tickets[0].jobs
    total = duration_of_all(seconds, slots)
    devices = [device.name for device in tickets[0].devices]
    names = _names(planned, runs_dir)
    if as_json:
        output.json_data(
            {
                "runs": [
                    {"name": name, "preset": one.preset, "seed": one.settings.train.seed, "seconds": time}
                    for name, one, time in zip(names, planned, seconds, strict=True)
                ],
                "devices": devices,
                "slots": slots,
                "seconds": total,
            }
        )
        return
    width = max(len(name) for name in names)
    for name, one, time in zip(names, planned, seconds, strict=True):
        output.data(f"{name:{width}}  {one.settings.train.epochs:>4} epochs  {_hours(time)}")
    at_a_time = f"{slots} at a time" if slots > 1 else "one after another"
    known = sum(time is not None for time in seconds)
    runs = "1 run" if len(planned) == 1 else f"{len(planned)} runs"
    output.data(f"{runs} on {', '.join(devices)}, {at_a_time}: {_hours(total)}")
    if known < len(seconds):
        what = f"{len(seconds) - known} of them cannot be estimated: no run of that setting"
        if not known:
            what = f"this cannot be estimated: no run of {'that setting' if len(seconds) == 1 else 'these settings'}"
        output.note(f"{what} has been timed on this device (an epoch of one is enough)")


def _names(planned: list[Planned], runs_dir: Path) -> list[str]:
    """Return the names that the runs would get now, numbered where they are taken."""
    from domcli.launch import default_name
    from domcli.rundir import unused_name

    names: list[str] = []
    for one in planned:
        wanted = one.name or default_name(one.preset, one.settings.train.seed, one.settings.data.dataset == "digits")
        name, number = unused_name(runs_dir, wanted), 1
        while name in names:
            number += 1
            name = unused_name(runs_dir, f"{wanted}-{number}")
        names.append(name)
    return names


def _hours(seconds: float | None) -> str:
    return "time not known" if seconds is None else f"about {figures.duration(seconds)}"
