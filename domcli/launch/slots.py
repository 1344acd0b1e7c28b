"""Who may train where: a slot is a locked file, held by the trainer itself for as long as it lives.

The launcher takes the lock and hands it to the trainer it starts. So a slot is taken while its trainer runs, whatever
becomes of the launcher, and free when the trainer is gone, however it went; launchers of several terminals need not
know of each other.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from domcli import finding
from domcli.devices import Device
from domcli.errors import StorageError
from domcli.launch import locks

FOLDER = ".domcli"
FORGET_SECONDS = 2.0
"""How long to wait for a supervisor that has nothing left to do."""


@dataclass(frozen=True)
class HostFolder:
    """What the launchers of one machine share, in the runs directory; nothing in it is missed when it is deleted."""

    path: Path

    @property
    def supervisor(self) -> Path:
        """Held by the supervisor of this user, so that there is one at the most."""
        return self.path / f"supervisor-{os.getuid()}.lock"

    @property
    def log(self) -> Path:
        """Stdout and stderr of the supervisor of this user."""
        return self.path / f"supervisor-{os.getuid()}.log"

    @property
    def choice(self) -> Path:
        """Held while somebody counts and takes slots."""
        return self.path / "slots.lock"

    def slot(self, device: Device, number: int) -> Path:
        return self.path / f"slot-{_file_name(device)}-{number}.lock"


@dataclass(frozen=True)
class Slot:
    """A place on a device; `handle` is the descriptor of its lock, for the trainer to keep."""

    device: Device
    handle: int

    def close(self) -> None:
        """Give up this process's hold; a trainer that has been given the slot keeps it."""
        os.close(self.handle)


def host_folder(runs_dir: Path) -> HostFolder:
    """Return this machine's folder in the runs directory, made if needed, for everybody who may write there.

    Raises StorageError if it cannot be made.
    """
    host = runs_dir / FOLDER / socket.gethostname()
    try:
        for folder in (host.parent, host):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(runs_dir.stat().st_mode & 0o7777)
    except OSError as error:
        raise StorageError(f"cannot write in {runs_dir}: {error.strerror}") from error
    return HostFolder(host)


def forget(runs_dir: Path) -> None:
    """Remove what launchers keep in a runs directory in which there is no run, unless one is at work there."""
    if not (runs_dir / FOLDER).is_dir() or finding.list_runs(runs_dir):
        return
    folder = host_folder(runs_dir)
    with contextlib.suppress(StorageError):
        deadline = time.monotonic() + FORGET_SECONDS
        while (lock := locks.acquire(folder.supervisor)) is None:
            if time.monotonic() >= deadline:
                return
            time.sleep(0.05)
        shutil.rmtree(folder.path, ignore_errors=True)
        os.close(lock)
        with contextlib.suppress(OSError):
            folder.path.parent.rmdir()


def take(folder: HostFolder, devices: Collection[Device], jobs: int) -> Slot | None:
    """Take a slot on the device with the fewest trainers, if fewer than `jobs` run there; None if all are taken."""
    with locks.held(folder.choice):
        for device in sorted(devices, key=lambda device: in_use(folder, device)):
            if in_use(folder, device) >= jobs:
                return None
            for number in range(jobs):
                handle = locks.acquire(folder.slot(device, number))
                if handle is not None:
                    return Slot(device, handle)
    return None


def in_use(folder: HostFolder, device: Device) -> int:
    """Return how many trainers of this runs directory run on a device of this machine."""
    return sum(locks.is_held(path) for path in folder.path.glob(f"slot-{_file_name(device)}-*.lock"))


def _file_name(device: Device) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", device.visible or device.name)
