"""On which terms runs are launched, as they were typed: where, how many at a time on a device, how often again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from domcli.errors import SettingsError
from domcli.launch.queue import choose_devices, new_ticket
from domcli.sharing.choice import AUTO, Automatic, parse

if TYPE_CHECKING:
    from domcli.devices import Device
    from domcli.settings import Settings
    from domcli.ticket import Ticket


@dataclass(frozen=True)
class Wording:
    """What things are called where they were typed, for the sentences about them."""

    name: str = "--name"
    seeds: str = "--seeds"
    jobs: str = "--jobs-per-gpu"
    retries: str = "--max-retries"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Where and how runs are to be launched, as the options of the commands say it."""

    devices: str = "auto"
    jobs: str = AUTO
    """How many may train on a device at a time."""
    retries: str = "0"
    """How often a run that failed is resumed by itself."""
    called: Wording = field(default=Wording(), compare=False)

    def jobs_at_a_time(self) -> int | None:
        """Return how many may train on a device at a time, None for as many as are best. Raises SettingsError."""
        return parse(self.jobs, self.called.jobs)

    def times_again(self) -> int:
        """Return how often a run that failed is resumed. Raises SettingsError."""
        if not (self.retries.isascii() and self.retries.isdecimal()):
            raise SettingsError(f"{self.called.retries} {self.retries}: write a whole number, 0 or more")
        return int(self.retries)

    def jobs_of(self, experiments: Sequence[Settings], chosen: Sequence[Device]) -> list[int]:
        """Return for each run how many may be at work on one of these devices. Raises SettingsError."""
        number, automatic = self.jobs_at_a_time(), Automatic(chosen)
        return [automatic.jobs(settings) if number is None else number for settings in experiments]

    def tickets(self, experiments: Sequence[Settings]) -> list[Ticket]:
        """Return tickets for runs that are queued together, in their order. Raises SettingsError or DeviceError."""
        self.jobs_at_a_time()
        again, chosen = self.times_again(), choose_devices(self.devices)
        each = [
            new_ticket(chosen, self.devices, jobs=jobs, max_retries=again, place=place)
            for place, jobs in enumerate(self.jobs_of(experiments, chosen))
        ]
        return [msgspec.structs.replace(ticket, queued=each[0].queued) for ticket in each]
