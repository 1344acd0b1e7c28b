"""The process that attacks a checkpoint, from the side of the command: a slot for it, its progress, how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from domcli import children, evaluations, files
from domcli.cli import output
from domcli.cli.evaluation_text import checkpoint, parameters
from domcli.cli.evaluation_view import EvaluationView, make_view
from domcli.cli.follow import Interrupts
from domcli.cli.listening import end, listen
from domcli.cli.options import shown_path
from domcli.devices import Device
from domcli.errors import DomcliError, ProcessError
from domcli.evaluations import Evaluation, Plan, Refusal
from domcli.launch import control, queue, slots
from domcli.launch.terms import Terms
from domcli.rundir import RunDirectory
from domcli.settings import Settings

PROCESS: Sequence[str] = children.command("domcli.trainer.assess")
LOG = "evaluation.log"
POLL_SECONDS = 0.2
REFUSED = 2


class EvaluationError(DomcliError):
    """An evaluation failed on its way; what it had found is kept."""

    exit_code = 1


@dataclass(frozen=True)
class Ending:
    """How the process ended: its exit code, and the reason that it gave."""

    code: int
    reason: str | None


def attack_checkpoint(run: RunDirectory, plan: Plan, settings: Settings, wanted: str, jobs_per_gpu: str) -> Evaluation:
    """Do an evaluation, or what is left of it, and return its result.

    It takes a slot on one of the `wanted` devices, as a trainer of these settings does, and waits for one. Ctrl-C keeps
    what was found, a second one kills. Raises the DomcliError that says why there is no result; typer.Exit after an
    interrupt.
    """
    chosen = queue.choose_devices(wanted)
    (jobs,) = Terms(devices=wanted, jobs=jobs_per_gpu).jobs_of([settings], chosen)
    ending = None
    with run.pinned("evaluate"), Interrupts() as interrupts:
        folder = evaluations.prepare(run, plan)
        output.note(f"{run.name}: {plan.title} on {checkpoint(plan)}: {parameters(plan)}")
        with _slot(run, chosen, jobs, interrupts) as slot:
            if slot is not None:
                ending = _run_process(run, folder, slot, wanted, interrupts)
    result = evaluations.read_result(folder)
    if result is not None:
        return result
    if interrupts.count or ending is None:
        output.note(f"{run.name}: stopped; what was found is kept, and the same command goes on from there")
        raise typer.Exit(interrupts.exit_code)
    raise _failure(run, folder, ending)


@contextlib.contextmanager
def _slot(
    run: RunDirectory, chosen: Sequence[Device], jobs: int, interrupts: Interrupts
) -> Iterator[slots.Slot | None]:
    """Wait for a slot and hold it; None if the person no longer wants to wait."""
    shared, told = slots.host_folder(run.path.parent), False
    while (slot := slots.take(shared, chosen, jobs)) is None and not interrupts.count:
        if not told:
            names = " and ".join(device.name for device in chosen)
            kept = any(slots.is_kept(shared, device) for device in chosen)
            why = "a benchmark keeps it for itself" if kept else f"--jobs-per-gpu {jobs + 1} would not wait for it"
            output.note(f"{run.name}: waits, {names} is taken; {why}")
            told = True
        time.sleep(POLL_SECONDS)
    try:
        yield slot
    finally:
        if slot is not None:
            slot.close()


def _run_process(run: RunDirectory, folder: Path, slot: slots.Slot, wanted: str, interrupts: Interrupts) -> Ending:
    """Start the process in the folder that the run was launched in, and follow it to its end."""
    placement = control.Placement(device=slot.device, wanted=wanted)
    launched = run.read_process()
    where = launched.folder if launched is not None and launched.folder.is_dir() else Path.cwd()
    try:
        with os.fdopen(files.open_own(folder / LOG, os.O_WRONLY | os.O_APPEND), "ab") as log:
            process = subprocess.Popen(
                [*PROCESS, str(folder.absolute()), *placement.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=where,
                env=placement.environment(),
                # Ctrl-C comes to it through this command alone.
                start_new_session=True,
                pass_fds=[slot.handle],
            )
    except OSError as error:
        raise ProcessError(f"cannot start the evaluation of {run.name}: {error}") from error
    try:
        with make_view() as view:
            reason = _follow(process, view, interrupts)
        return Ending(process.wait(), reason)
    finally:
        if process.poll() is None:
            end(process, kill=True)
            process.wait()


def _follow(process: subprocess.Popen[bytes], view: EvaluationView, interrupts: Interrupts) -> str | None:
    """Show what the process says until it says no more; return why it refused, if it did."""
    reasons: list[str] = []

    def take(line: bytes) -> None:
        said = evaluations.decode(line)
        if isinstance(said, Refusal):
            reasons.append(said.reason)
        elif said is not None:
            view.update(said)

    listen(process, interrupts, take, view.say)
    return reasons[-1] if reasons else None


def _failure(run: RunDirectory, folder: Path, ending: Ending) -> DomcliError:
    log = shown_path(folder / LOG)
    if ending.code == REFUSED and ending.reason is not None:
        return ProcessError(ending.reason)
    if ending.reason is not None:
        return EvaluationError(f"the evaluation of {run.name} failed: {ending.reason} (log: {log})")
    if ending.code < 0:
        name = signal.Signals(-ending.code).name if -ending.code in set(signal.Signals) else f"signal {-ending.code}"
        return EvaluationError(
            f"the evaluation of {run.name} was killed ({name}); the same command goes on from what was found"
        )
    return EvaluationError(f"the evaluation of {run.name} ended without a result, exit code {ending.code} (log: {log})")
