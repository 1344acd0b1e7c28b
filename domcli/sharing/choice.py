"""How many may train on a device at a time: a number, or `auto`, which goes by what was measured on such a device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import psutil

from domcli import devices
from domcli.devices import CPU, Device
from domcli.errors import SettingsError
from domcli.limits import read_limits
from domcli.sharing import figures, mps

if TYPE_CHECKING:
    from domcli.settings import Settings
    from domcli.sharing.figures import Figures

AUTO = "auto"


def parse(text: str, what: str) -> int | None:
    """Return the number that `text` is, None for `auto`. Raises SettingsError, in which `what` names the option."""
    if text == AUTO:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise SettingsError(f"{what} {text}: write auto, or a whole number, 1 or more")
    return int(text)


class Automatic:
    """What `auto` comes to on some devices. Nothing is read or asked for before it is needed."""

    def __init__(self, chosen: Sequence[Device]) -> None:
        self._chosen = chosen

    def jobs(self, settings: Settings) -> int:
        """Return how many runs of such settings are best at a time: 1 where nothing like it has been measured.

        Of several devices, the one that takes the fewest decides.
        """
        known = [one for one in self._kept if one.are_of(settings)]
        return min((self._on(device, known) for device in self._chosen), default=1) if known else 1

    def _on(self, device: Device, known: Sequence[Figures]) -> int:
        product, cores, memory = self._kind(device)
        here = {one.mps: one for one in known if one.device == product and one.cores == cores}
        # Where only trainers without the service were measured, they still say how many are worth it at least.
        found = (here.get(True) if True in here and self._mps else None) or here.get(False)
        return figures.best(found.together, memory) if found is not None else 1

    def _kind(self, device: Device) -> tuple[str | None, int | None, int | None]:
        """Return product name, cores (of a CPU) and bytes of memory of a device; None where they are not known."""
        if device == CPU:
            return devices.cpu_name(), devices.cpu_count(), machine_memory()
        return next(((gpu.product, None, gpu.memory_total) for gpu in self._gpus if gpu.device == device), (None,) * 3)

    @cached_property
    def _kept(self) -> list[Figures]:
        return figures.recall()

    @cached_property
    def _gpus(self) -> list[devices.Gpu]:
        return devices.gpus()

    @cached_property
    def _mps(self) -> bool:
        return mps.answers()


def machine_memory() -> int:
    """Return the bytes of memory that the processes of this machine may take."""
    total = psutil.virtual_memory().total
    return min(int(total), read_limits().memory or int(total))
