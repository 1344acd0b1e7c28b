"""A run's place in the queue: what it waits for, and how it is to be launched. It lies in the run's own directory."""

from __future__ import annotations

from pathlib import Path

import msgspec

from domcli import files
from domcli.bounds import Count, Seconds
from domcli.devices import Device
from domcli.launchers import LOCAL


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for one launch of a run, on the machine and by the user that wrote it.

    It waits until process.json names its `id`: launching is that one write, so that a crash before or after it leaves
    no doubt. It lies there until its trainer has ended, because it may have to be launched again.
    """

    id: str
    queued: Seconds
    """When it was queued first, seconds since 1970."""
    place: Count = 0
    """Place among those that one command queued."""
    host: str
    owner: Count
    """User id of who queued it: nobody trains in somebody else's name."""
    folder: str
    """Where the trainer runs and relative data paths begin."""
    wanted: str = "auto"
    """The devices as they were asked for."""
    devices: tuple[Device, ...]
    """The devices it may run on, any of them."""
    jobs: Count = 1
    """It may start on a device where fewer than so many trainers run."""
    threads: Count | None = None
    """CPU threads of its trainer; None: its share of the cores."""
    epochs: Count | None = None
    """Train to this epoch: settings.toml says so from its launch on, and nothing is changed if it never comes to that.
    None: to the epoch that stands there."""
    max_retries: Count = 0
    retries: Count = 0
    """How often it has been launched again after a failure."""
    not_before: Seconds = 0.0
    """It waits until then, seconds since 1970."""
    launcher: str = LOCAL
    """What starts and ends its trainer (see domcli.launch.launcher)."""
    directory: int = 0
    """Inode of the run directory: a copy of it is not in the queue."""

    @property
    def where(self) -> Path:
        """Where the trainer runs."""
        return files.text_as_path(self.folder)

    @property
    def order(self) -> tuple[float, int, str]:
        return self.queued, self.place, self.id
