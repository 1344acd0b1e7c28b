"""Who may train where: a slot is a locked file, held by the trainer itself for as long as it lives.

The launcher takes the lock and hands it to the trainer it starts. So a slot is taken while its trainer runs, whatever
becomes of the launcher, and free when the trainer is gone, however it went; launchers of several terminals need not
know of each other. Who measures keeps a device for itself, by one more lock: then nobody begins there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from domcli import files, finding, locks, removal
from domcli.devices import Device
from domcli.errors import StorageError
from domcli.ticket import Ticket

FOLDER = ".domcli"
FORGET_SECONDS = 2.0
"""How long to wait for a supervisor that has nothing left to do."""


@dataclass(frozen=True)
class HostFolder:
    """What the launchers of one machine share, in the runs directory; nothing in it is missed when it is deleted."""

    path: Path

    @property
    def base(self) -> Path:
        """The runs directory: below it no link is followed."""
        return self.path.parents[1]

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

    def alone(self, device: Device) -> Path:
        """Held by who keeps the device for itself."""
        return self.path / f"alone-{_file_name(device)}.lock"


@dataclass(frozen=True)
class Slot:
    """A place on a device, or all of it; `handle` is the descriptor of its lock, for the trainer to keep."""

    device: Device
    handle: int

    def close(self) -> None:
        """Give up this process's hold; a trainer that has been given the slot keeps it."""
        os.close(self.handle)


def seen_folder(runs_dir: Path) -> HostFolder:
    """Return this machine's folder in the runs directory, to be looked at: it may not be there."""
    return HostFolder(runs_dir / FOLDER / socket.gethostname())


def host_folder(runs_dir: Path) -> HostFolder:
    """Return this machine's folder in the runs directory, made if needed, with the mode that the umask leaves it.

    Raises StorageError if it cannot be made.
    """
    folder = seen_folder(runs_dir)
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        for path in (folder.path.parent, folder.path):
            files.make_folder(path, base=runs_dir)
    except OSError as error:
        raise StorageError(f"cannot write in {runs_dir}: {error.filename or runs_dir}: {error.strerror}") from error
    return folder


def require_writable(runs_dir: Path) -> None:
    """Find out before a run is made whether it could be queued: what is there already must be for this user.

    Raises StorageError if this machine's folder in the runs directory, or a file in it, is not, or somebody else holds
    the lock that a supervisor needs.
    """
    folder = seen_folder(runs_dir)
    there = [path for path in (folder.path, folder.path.parent) if os.path.lexists(path)]
    for path in reversed(there):
        if path.is_symlink() or not path.is_dir():
            kind = "a link" if path.is_symlink() else "a file"
            raise StorageError(f"cannot write in {runs_dir}: {path} is {kind}, not a folder; remove it")
    if there and not os.access(there[0], os.W_OK | os.X_OK, effective_ids=True):
        code = errno.EROFS if os.statvfs(there[0]).f_flag & os.ST_RDONLY else errno.EACCES
        raise locks.cannot_write(there[0], OSError(code, os.strerror(code)), shared=True)
    try:
        for path in filter(os.path.lexists, (folder.supervisor, folder.log)):
            os.close(files.open_own(path, os.O_WRONLY | os.O_APPEND, base=folder.base))
        for path in filter(os.path.lexists, (folder.choice,)):
            os.close(files.open_shared(path, base=folder.base))
    except OSError as error:
        raise locks.cannot_write(Path(error.filename), error, shared=True) from error
    locks.refuse_stranger(folder.supervisor)


def forget(runs_dir: Path) -> None:
    """Remove what launchers keep in a runs directory in which there is no run, unless somebody needs it."""
    if not files.is_folder(runs_dir / FOLDER) or finding.list_runs(runs_dir):
        return
    folder = host_folder(runs_dir)
    with contextlib.suppress(StorageError):
        deadline = time.monotonic() + FORGET_SECONDS
        while (lock := locks.acquire(folder.supervisor, base=folder.base, private=True)) is None:
            if time.monotonic() >= deadline:
                return
            time.sleep(0.05)
        try:
            with _choosing(folder):
                if not any(map(locks.is_held, (*folder.path.glob("slot-*.lock"), *folder.path.glob("alone-*.lock")))):
                    with contextlib.suppress(OSError):
                        removal.remove(folder.path)
        finally:
            os.close(lock)
        with contextlib.suppress(OSError):
            folder.path.parent.rmdir()


def take(folder: HostFolder, devices: Collection[Device], jobs: int) -> Slot | None:
    """Take a slot on the device with the fewest trainers, if fewer than `jobs` run there; None if all are taken.

    A device that somebody keeps for itself has none.
    """
    with _choosing(folder):
        shared = [device for device in devices if not is_kept(folder, device)]
        for device in sorted(shared, key=lambda device: in_use(folder, device)):
            if in_use(folder, device) >= jobs:
                return None
            for number in range(jobs):
                handle = locks.acquire(folder.slot(device, number), base=folder.base, shared=True)
                if handle is not None:
                    return Slot(device, handle)
    return None


def keep(folder: HostFolder, device: Device) -> Slot | None:
    """Keep a device for oneself: from now on nobody begins there. None if somebody else does so already.

    Trainers at work there go on, and are to be waited for (`in_use`). That the device is kept first lets it become
    free, as a run that waits in the queue keeps later ones away.
    """
    with _choosing(folder):
        handle = locks.acquire(folder.alone(device), base=folder.base, shared=True)
    return None if handle is None else Slot(device, handle)


def is_kept(folder: HostFolder, device: Device) -> bool:
    """Tell whether somebody keeps the device for itself."""
    return locks.is_held(folder.alone(device))


def kept_from(runs_dir: Path, ticket: Ticket) -> list[str]:
    """Return those devices that a run waits for, by name, which a benchmark keeps for itself."""
    folder = seen_folder(runs_dir)
    here = ticket.host == socket.gethostname()
    return [device.name for device in ticket.devices if here and is_kept(folder, device)]


def in_use(folder: HostFolder, device: Device) -> int:
    """Return how many trainers of this runs directory run on a device of this machine."""
    return sum(locks.is_held(path) for path in folder.path.glob(f"slot-{_file_name(device)}-*.lock"))


def _choosing(folder: HostFolder) -> contextlib.AbstractContextManager[None]:
    return locks.held(folder.choice, base=folder.base, shared=True)


def _file_name(device: Device) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", device.visible or device.name)
