"""The memory of the device that is measured: how much there is, how much is free, what a trainer takes; no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

from domcli import devices
from domcli.devices import VISIBLE, Gpu
from domcli.limits import read_limits
from domcli.sharing.choice import machine_memory

DRIVER_BYTES = 600_000_000
"""What the driver takes of a GPU for each process, about, where it does not tell."""


class Room:
    """The memory of the one device that this process sees."""

    def __init__(self, device_type: str) -> None:
        self._is_cpu = device_type == "cpu"
        gpu = self._gpu()
        self.product = gpu.product if gpu is not None else None
        """Product name of a GPU, None if it is not known."""
        self.total = machine_memory() if self._is_cpu else gpu.memory_total if gpu is not None else None
        """Bytes of the device's memory, None if they are not known."""

    def used(self) -> int | None:
        """Return the bytes of a GPU's memory that are in use; None if that is not known, and on a CPU."""
        gpu = self._gpu()
        return gpu.memory_used if gpu is not None else None

    def free(self) -> int | None:
        """Return the bytes that are free, None if that is not known."""
        if not self._is_cpu:
            used = self.used()
            return self.total - used if self.total is not None and used is not None else None
        free, limits = int(psutil.virtual_memory().available), read_limits()
        if limits.memory is not None and limits.memory_used is not None:
            free = min(free, limits.memory - limits.memory_used)
        return free

    def each(self, taken: Sequence[int], used_before: int | None) -> int:
        """Return the bytes that each of some trainers takes: what they tell, with the driver's part on a GPU."""
        most, used = max(taken), self.used()
        if self._is_cpu:
            return most
        if used is None or used_before is None:
            return most + DRIVER_BYTES
        return max(most, (used - used_before) // len(taken))

    def _gpu(self) -> Gpu | None:
        """Return the GPU as its driver describes it; the command has made it the only one to be seen, by its id."""
        visible = os.environ.get(VISIBLE)
        return None if self._is_cpu else next((gpu for gpu in devices.gpus() if gpu.uuid == visible), None)
