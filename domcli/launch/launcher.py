"""What starts trainers and ends them: processes of this machine, or whatever else has a line here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from domcli import launchers
from domcli.errors import ProcessError
from domcli.launch.placement import Placement
from domcli.launchers import LAUNCHERS, LOCAL
from domcli.printable import quoted
from domcli.process import Liveness, ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.ticket import Ticket


class Started(Protocol):
    """A trainer that was started, as this process sees it."""

    @property
    def pid(self) -> int:
        """The process that process.json names."""

    def poll(self) -> int | None:
        """Return its exit code, below 0 for the signal that ended it; None while it runs or if that is not known."""


class Launcher(Protocol):
    """Starts and ends trainers in some way: a file with these functions, and a line in domcli.launchers."""

    def start(self, run: RunDirectory, placement: Placement, lock: int, command: Sequence[str]) -> Started:
        """Start a trainer, `command` with the run directory and its options, and note it in process.json.

        The caller holds the run's lock and the slot of the placement, and the trainer keeps both as long as it lives.
        Raises ProcessError or StorageError if it cannot be started.
        """

    def stop(self, run: RunDirectory) -> ProcessIdentity:
        """Ask the trainer to write a checkpoint and stop; return which was asked. Raises ProcessError without one."""

    def kill(self, run: RunDirectory) -> ProcessIdentity:
        """End the trainer at once, and have it not launched again; return which it was. Raises ProcessError."""

    def alive(self, identity: ProcessIdentity) -> Liveness:
        """Tell whether a trainer still runs; `elsewhere` where that cannot be asked from here."""

    def why_it_waits(self, runs_dir: Path, ticket: Ticket) -> str | None:
        """Return what a run waits for beside those before it in the queue; None if that is all, or not known."""


if TYPE_CHECKING:
    from domcli.launch import local

    _LOCAL: Launcher = local


def by_name(name: str) -> Launcher:
    """Return the launcher that a ticket names. Raises ProcessError for one that there is not."""
    found: Launcher | None = launchers.find(name)
    if found is None:
        raise ProcessError(f"there is no launcher {quoted(name)} here; there is {', '.join(LAUNCHERS)}")
    return found


def launcher_of(run: RunDirectory) -> Launcher:
    """Return what starts and ends the trainer of a run: as its ticket says, which lies there until that has ended.

    Raises ProcessError if there is none of that name.
    """
    ticket = run.read_ticket()
    return by_name(LOCAL if ticket is None else ticket.launcher)


def why_it_waits(runs_dir: Path, ticket: Ticket) -> str | None:
    """Return what a run waits for beside those before it in the queue; None if that is all, or not known."""
    launcher: Launcher | None = launchers.find(ticket.launcher)
    return launcher.why_it_waits(runs_dir, ticket) if launcher is not None else None
