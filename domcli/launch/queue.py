"""The queue: runs with a ticket in their directory, in the order in which they were queued."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from domcli import children, devices, files, finding, locks
from domcli.devices import Device
from domcli.discarding import discard
from domcli.errors import ProcessError, RunDirectoryError, StorageError
from domcli.events import Stopped
from domcli.launch.access import sole_access
from domcli.launch.extend import extended, refuse_imported
from domcli.launch.rules import Hindered, hindrance
from domcli.launch.slots import HostFolder, host_folder, require_writable
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.stream import EventWriter
from domcli.ticket import Ticket

SUPERVISOR = children.command("domcli.launch.supervisor")
LOG_BYTES = 1_000_000
"""The supervisor's log begins anew when it has grown over this."""


def new_ticket(
    chosen: tuple[Device, ...], wanted: str = "auto", *, jobs: int = 1, max_retries: int = 0, place: int = 0
) -> Ticket:
    """Return a ticket for one run, to be launched here, from the current folder."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return Ticket(
        id=uuid.uuid4().hex,
        queued=time.time(),
        place=place,
        host=socket.gethostname(),
        owner=os.geteuid(),
        folder=files.path_as_text(Path.cwd()),
        wanted=wanted,
        devices=chosen,
        jobs=jobs,
        threads=int(threads) if threads.isdecimal() and int(threads) > 0 else None,
        max_retries=max_retries,
    )


def renewed(ticket: Ticket, **changes: Any) -> Ticket:
    """Return a ticket for a further launch of the same run, at the same place in the queue."""
    return msgspec.structs.replace(ticket, id=uuid.uuid4().hex, **changes)


def enqueue(run: RunDirectory, ticket: Ticket) -> None:
    """Queue a run that is to go on from its last checkpoint, in the folder of its first launch if that is still there.

    Raises ProcessError for a run that is finished, queued or at work, StorageError if nothing can be written, and what
    `extended` raises for one that cannot be trained to the epoch that the ticket asks for.
    """
    run.require_own("resume")
    run.require_untouched()
    run.read_settings()
    require_writable(run.path.parent)
    with sole_access(run):
        found = read_run(run)
        why = hindrance("resume" if ticket.epochs is None else "extend", found)
        if why is not None:
            raise Hindered(found, why)
        refuse_imported(run)
        if ticket.epochs is not None:
            extended(found, ticket.epochs)
        identity = run.read_process()
        if identity is not None and identity.host == ticket.host and identity.folder.is_dir():
            ticket = msgspec.structs.replace(ticket, folder=identity.cwd)
        try:
            run.write_ticket(ticket)
        except OSError as error:
            raise StorageError(f"cannot queue {run.name}: {error.strerror}") from error


def cancel(run: RunDirectory) -> bool:
    """Take a run out of the queue; return False if it does not wait there.

    Raises ProcessError when it has just been launched.
    """
    if run.waiting_ticket() is None:
        return False
    run.require_own("take out of the queue")
    with sole_access(run):
        if run.waiting_ticket() is None:
            return False
        if read_run(run).state.closing is None and run.read_process() is None:
            writer = EventWriter(run.events)
            try:
                writer.write(Stopped(reason="taken out of the queue before it began", epoch=0, step=0))
            finally:
                writer.close()
        run.ticket.unlink(missing_ok=True)
    return True


def delete(run: RunDirectory) -> None:
    """Remove a run with everything in it, its place in the queue too: its lock is held, and no launch slips in between.

    Raises RunDirectoryError for another user's run and for a folder that may hold somebody's own files, ProcessError
    while a trainer is at work, StorageError if it cannot be removed.
    """
    require_made(run)
    with sole_access(run, action="delete"):
        discard(run)


def require_made(run: RunDirectory) -> None:
    """Raise RunDirectoryError for a folder that domcli did not make: every run has these files from the start."""
    if not os.path.lexists(run.environment) and not os.path.lexists(run.events):
        raise RunDirectoryError(
            f"{run.path} is not a run that domcli made: it has neither {run.environment.name} nor {run.events.name}; "
            "remove it by hand if you are sure"
        )


def request_end(run: RunDirectory, ask: Callable[[RunDirectory], ProcessIdentity]) -> ProcessIdentity | None:
    """Take the run out of the queue, or else ask its trainer (`request_stop`) and return which process was asked."""
    try:
        if cancel(run):
            return None
    except ProcessError:
        pass  # it has just been launched
    return ask(run)


def tickets(runs_dir: Path) -> list[tuple[RunDirectory, Ticket]]:
    """Return the runs with a ticket of this user on this machine, in queue order: those that wait and those at work."""
    found = []
    for run in finding.with_tickets(runs_dir):
        ticket = run.read_ticket()
        if ticket is not None and ticket.host == socket.gethostname() and ticket.owner == os.geteuid() and run.is_own():
            found.append((run, ticket))
    return sorted(found, key=lambda entry: entry[1].order)


def wake(runs_dir: Path, command: Sequence[str] | None = None) -> None:
    """Start a supervisor in its own session if there is something in the queue and none is at work.

    Raises ProcessError if it cannot be started, StorageError if nothing can be written in the runs directory, or
    somebody else holds the lock that a supervisor needs.
    """
    if not tickets(runs_dir):
        return
    folder = host_folder(runs_dir)
    if locks.is_held_by_own(folder.supervisor):
        return
    locks.refuse_stranger(folder.supervisor)
    handle = _open_log(folder)
    try:
        with os.fdopen(handle, "ab") as log:
            subprocess.Popen(
                [*(command or SUPERVISOR), str(runs_dir.absolute())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=children.environment(),
                start_new_session=True,
            )
    except OSError as error:
        raise ProcessError(f"cannot start the process that advances the queue: {error}") from error


def _open_log(folder: HostFolder) -> int:
    """Open the supervisor's log, begun anew where it has grown long; a disk that is full does not stop the queue.

    Raises StorageError.
    """
    try:
        log = files.open_own(folder.log, os.O_WRONLY | os.O_APPEND, base=folder.base)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise locks.cannot_write(folder.log, error, shared=True) from error
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    if os.fstat(log).st_size > LOG_BYTES:
        os.ftruncate(log, 0)
    return log


def stalled(runs_dir: Path) -> Path | None:
    """Return the supervisor's log if something is in the queue and no supervisor is at work, else None."""
    if not tickets(runs_dir):
        return None
    folder = host_folder(runs_dir)
    return None if locks.is_held_by_own(folder.supervisor) else folder.log


def choose_devices(wanted: str) -> tuple[Device, ...]:
    """Return the devices of this machine that are meant (see domcli.devices.choose). Raises DeviceError."""
    return devices.choose(wanted, devices.gpus())
