"""The process that advances the queue of a runs directory: `python -m domcli.launch.supervisor RUNS_DIRECTORY`.

It launches waiting runs when a slot is free, notes how trainers ended, and queues failed runs again that may be
retried. It keeps nothing in memory that matters: it can be killed at any time, and the next one goes on from what lies
in the run directories. It ends when nothing is left to do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Literal

from domcli import computation, devices, locks, process
from domcli.devices import CPU, Device
from domcli.errors import DomcliError, ProcessError, RunDirectoryError, StorageError
from domcli.events import Failed
from domcli.launch import launcher, local, queue, slots
from domcli.launch.access import record_exit, sole_access
from domcli.launch.extend import extend
from domcli.launch.launcher import Started
from domcli.launch.placement import Placement
from domcli.printable import log_to_stderr
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.stream import EventWriter
from domcli.ticket import Ticket

POLL_SECONDS = 0.3
RETRY_SECONDS = 5.0
"""Before the first retry of a run; twice as long before each further one."""
LONGEST_RETRY_SECONDS = 300.0
STORAGE_SECONDS = 5.0
"""Before another attempt to launch anything when the disk is full."""
NOT_RETRIED = ("non-finite-loss", "refused", "storage")
"""Causes of failure that would be met again."""

Cause = Literal["device", "refused", "error"]

log = logging.getLogger(__name__)


class Supervisor:
    """Advances one user's queue on this machine, step by step."""

    def __init__(self, runs_dir: Path, command: Sequence[str] | None = None) -> None:
        self._runs_dir = runs_dir
        self._folder = slots.host_folder(runs_dir)
        self._command = command or local.TRAINER
        self._children: dict[Path, Started] = {}
        self._launch_after = 0.0

    def advance(self) -> bool:
        """Do what can be done now; return whether anything is left to wait for."""
        self._reap()
        entries = queue.tickets(self._runs_dir)
        waiting = [(run, ticket) for run, ticket in entries if not run.was_launched_for(ticket)]
        known = {run.path for run, _ in waiting}
        for run, ticket in entries:
            if run.path not in known:
                self._settle(run, ticket)
        if time.monotonic() >= self._launch_after:
            try:
                self._launch(waiting, running=len(entries) - len(waiting))
            except StorageError as error:  # the disk is full, for now
                log.warning("%s", error)
                self._launch_after = time.monotonic() + STORAGE_SECONDS
        return bool(entries) or bool(self._children)

    def _reap(self) -> None:
        for path, child in list(self._children.items()):
            code = child.poll()
            if code is not None:
                del self._children[path]
                record_exit(RunDirectory(path), child.pid, code)
                log.info("%s: trainer %d ended with %d", path.name, child.pid, code)

    def _settle(self, run: RunDirectory, ticket: Ticket) -> None:
        """Once its trainer has ended, queue a launched run again or let go of its ticket."""
        identity = run.read_process()
        if run.path in self._children or identity is None or process.liveness(identity) != "gone":
            return
        try:
            with sole_access(run, patience=0):
                found = run.read_ticket()
                if found is None or found.id != ticket.id:
                    return
                if ticket.retries < ticket.max_retries and _may_retry(run):
                    self._queue_again(run, ticket)
                else:
                    run.ticket.unlink(missing_ok=True)
        except (DomcliError, OSError) as error:
            log.warning("%s: %s", run.name, error)

    def _queue_again(self, run: RunDirectory, ticket: Ticket) -> None:
        pause = min(RETRY_SECONDS * 2**ticket.retries, LONGEST_RETRY_SECONDS)
        again = queue.renewed(ticket, retries=ticket.retries + 1, not_before=time.time() + pause)
        run.write_ticket(again)
        log.info("%s: retry %d of %d in %.0f s", run.name, again.retries, again.max_retries, pause)

    def _launch(self, waiting: list[tuple[RunDirectory, Ticket]], running: int) -> None:
        """Launch what finds a free slot, strictly in order: who waits for a device keeps later ones away from it."""
        claimed: set[Device] = set()
        for run, ticket in waiting:
            if 0 < ticket.not_before - time.time() <= LONGEST_RETRY_SECONDS:  # longer: the clock was set back
                continue
            present = _present(ticket.devices)
            if not present:
                names = " and ".join(device.name for device in ticket.devices)
                self._fail(run, ticket, "device", f"{names} vanished from this machine; check it, then resume")
                continue
            wanted = [device for device in present if device not in claimed]
            slot = slots.take(self._folder, wanted, ticket.jobs) if wanted else None
            if slot is None:
                claimed.update(wanted)
                continue
            try:
                places = min(len(present) * ticket.jobs, running + len(waiting))
                self._start(run, ticket, slot, places)
            finally:
                slot.close()

    def _start(self, run: RunDirectory, ticket: Ticket, slot: slots.Slot, places: int) -> None:
        placement = Placement(
            device=slot.device,
            wanted=ticket.wanted,
            folder=ticket.where,
            threads=_threads(run, ticket, slot.device, places),
            ticket=ticket.id,
            launcher=ticket.launcher,
            slot=slot.handle,
        )
        try:
            with sole_access(run, patience=0) as lock:
                found = run.waiting_ticket()
                if found is None or found.id != ticket.id:
                    return
                child = self._spawn(run, lock, placement, ticket)
        except StorageError as error:
            log.warning("%s: %s", run.name, error)
            self._launch_after = time.monotonic() + STORAGE_SECONDS
        except ProcessError as error:  # somebody else changes its place in the queue at this moment
            log.info("%s: %s", run.name, error)
        else:
            if child is not None:
                self._children[run.path] = child
                log.info("%s: trainer %d on %s", run.name, child.pid, slot.device.name)

    def _spawn(self, run: RunDirectory, lock: int, placement: Placement, ticket: Ticket) -> Started | None:
        try:
            run.require_untouched()
        except RunDirectoryError as error:
            self._close(run, "refused", str(error))
            return None
        if placement.folder is not None and not placement.folder.is_dir():
            self._close(run, "refused", f"the folder in which it was queued is gone: {placement.folder}")
            return None
        try:
            if ticket.epochs is not None:
                extend(run, ticket.epochs)
            return launcher.by_name(ticket.launcher).start(run, placement, lock, self._command)
        except StorageError:
            raise
        except DomcliError as error:
            self._close(run, "error" if isinstance(error, ProcessError) else "refused", str(error))
            return None

    def _fail(self, run: RunDirectory, ticket: Ticket, cause: Cause, reason: str) -> None:
        try:
            with sole_access(run, patience=0):
                if ticket.retries < ticket.max_retries:
                    self._queue_again(run, ticket)
                else:
                    self._close(run, cause, reason)
        except (DomcliError, OSError) as error:
            log.warning("%s: %s", run.name, error)

    def _close(self, run: RunDirectory, cause: Cause, reason: str) -> None:
        """Fail a run that cannot be launched, for a reason that its trainer cannot tell; its lock is held."""
        log.error("%s: %s", run.name, reason)
        writer = EventWriter(run.events)
        try:
            writer.write(Failed(cause=cause, reason=reason))
        finally:
            writer.close()
        run.ticket.unlink(missing_ok=True)


def main(arguments: Sequence[str], command: Sequence[str] | None = None) -> int:
    """Advance the queue of a runs directory until nothing is left; return at once if another does so already."""
    log_to_stderr()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    runs_dir = Path(arguments[0])
    try:
        while queue.tickets(runs_dir):
            lock = _sole_supervisor(slots.host_folder(runs_dir))
            if lock is None:
                return 0
            _advance_to_the_end(runs_dir, command)
            # Who queued a run before this did not start another supervisor: look once more after it.
            os.close(lock)
    except DomcliError as error:
        log.error("%s", error)
        return 1
    return 0


def _advance_to_the_end(runs_dir: Path, command: Sequence[str] | None) -> None:
    log.info("supervisor %d of %s", os.getpid(), runs_dir)
    supervisor = Supervisor(runs_dir, command)
    while supervisor.advance():
        time.sleep(POLL_SECONDS)
    log.info("nothing left in the queue")


def _sole_supervisor(folder: slots.HostFolder) -> int | None:
    """Return the lock, with this process's id in its file, or None if another supervisor has it.

    Who only looks whether it is held holds it for a moment. Raises StorageError if somebody else keeps it.
    """
    for _ in range(5):
        lock = locks.acquire(folder.supervisor, base=folder.base, private=True)
        if lock is not None:
            with contextlib.suppress(OSError):  # a full disk: the lock is what counts
                os.ftruncate(lock, 0)
                os.write(lock, f"{os.getpid()}\n".encode())
            return lock
        time.sleep(0.02)
    locks.refuse_stranger(folder.supervisor)
    return None


def _leave(_number: int, _frame: FrameType | None) -> None:
    log.info("asked to leave; the trainers go on")
    raise SystemExit(0)


def _may_retry(run: RunDirectory) -> bool:
    found = read_run(run)
    closing = found.state.closing
    if found.status == "failed" and isinstance(closing, Failed):
        return closing.cause not in NOT_RETRIED
    return found.status == "lost"


def _present(wanted: Sequence[Device]) -> list[Device]:
    """Return the devices that are still there; what the driver did not list in the first place cannot be asked for."""
    if not any((device.visible or "").startswith("GPU-") for device in wanted):
        return list(wanted)
    known = {gpu.uuid for gpu in devices.gpus()}
    return [device for device in wanted if not (device.visible or "").startswith("GPU-") or device.visible in known]


def _threads(run: RunDirectory, ticket: Ticket, device: Device, places: int) -> int:
    """Return how many CPU threads a trainer gets: its share of the cores where several may run.

    A run that goes on on a CPU gets as many as before, for another number would round differently.
    """
    if ticket.threads is not None:
        return ticket.threads
    before = None
    with contextlib.suppress(RunDirectoryError):  # which its trainer will tell
        before = computation.read(run).threads
    if device == CPU and before is not None:
        return min(before, devices.cpu_count())
    return max(1, devices.cpu_count() // max(1, places))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
