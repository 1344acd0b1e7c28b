"""The device that is measured, kept from the queue of the runs directory; and who else may be at work on it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from domcli import devices, files, finding, process
from domcli.checks.machine import user_of
from domcli.cli import output
from domcli.cli.interrupts import Interrupts
from domcli.devices import Device, GpuProcess
from domcli.errors import StorageError
from domcli.launch import queue, slots
from domcli.launch.slots import HostFolder, Slot

POLL_SECONDS = 0.2
MOST_NAMES = 3
MPS_PROGRAMS = "nvidia-cuda-mps"
"""How the names of the Multi-Process Service's programs begin: its server has memory on a GPU and computes nothing."""


@contextlib.contextmanager
def device_alone(
    device: Device, runs_dir: Path, interrupts: Interrupts, before_waiting: Callable[[], object]
) -> Iterator[Slot | None]:
    """Keep a device for this process and those it hands the slot to: no run of the runs directory begins there.

    Runs that are at work there are waited for, which is told, after `before_waiting` was called. None where there is no
    such directory, so nothing is queued in it, where it cannot be written, which is told, and after an interrupt.
    """
    slot = None
    if files.is_folder(runs_dir):
        try:
            slot = _wait(slots.host_folder(runs_dir), device, runs_dir, interrupts, before_waiting)
        except StorageError as error:
            output.note(f"{device.name} cannot be kept from runs of the queue meanwhile: {error}")
    try:
        yield slot
    finally:
        if slot is not None:
            slot.close()


def warn_of_others(device: Device) -> None:
    """Say who has memory on a GPU that is about to be measured."""
    gpu = next((one for one in devices.gpus() if one.device == device), None)
    others = [user_of(one, {})[0] for one in gpu.processes if not _is_mps(one)] if gpu is not None else []
    if others:
        more = f" and {len(others) - MOST_NAMES} more" if len(others) > MOST_NAMES else ""
        output.note(
            f"figures may be off: on {device.name} there is also {', '.join(others[:MOST_NAMES])}{more}; "
            "measure again when nothing else is there"
        )


def _wait(
    folder: HostFolder, device: Device, runs_dir: Path, interrupts: Interrupts, before_waiting: Callable[[], object]
) -> Slot | None:
    """Return the device once it is kept and nobody is left there; None if the person no longer wants to wait."""
    slot, looks = None, 0
    with contextlib.ExitStack() as undo:
        while not interrupts.count:
            if slot is None:
                slot = slots.keep(folder, device)
                if slot is not None:
                    undo.callback(slot.close)
            if slot is not None and not slots.in_use(folder, device):
                undo.pop_all()
                return slot
            looks += 1
            if looks == 2:  # who only looks whether a lock is held holds it for a moment
                before_waiting()
                output.note(_why_it_waits(folder, device, runs_dir, kept=slot is not None))
            time.sleep(POLL_SECONDS)
    return None


def _why_it_waits(folder: HostFolder, device: Device, runs_dir: Path, *, kept: bool) -> str:
    who = _at_work(runs_dir, device) if kept else "another benchmark"
    others = ", and queued runs wait, too" if kept else ""
    free = [
        other.name
        for other in queue.choose_devices("auto")
        if other.is_gpu and other != device and not slots.in_use(folder, other) and not slots.is_kept(folder, other)
    ]
    other = f"; --device {free[0]} would not wait" if device.is_gpu and free else ""
    return f"waits until {device.name} is free, where {who} is at work{others}; Ctrl-C ends this{other}"


def _at_work(runs_dir: Path, device: Device) -> str:
    """Return who is at work on a device, the runs by their names."""
    names = []
    for run in finding.with_tickets(runs_dir):
        identity = run.read_process()
        if identity is not None and identity.device == device.name and process.liveness(identity) == "alive":
            names.append(run.name)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}" if names else "an evaluation"


def _is_mps(one: GpuProcess) -> bool:
    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(one.pid).name()).startswith(MPS_PROGRAMS)
    return False
