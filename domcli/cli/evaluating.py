"""The process that attacks a checkpoint, from the side of the command: a slot for it, its progress, how it ended."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from domcli import children, evaluations, files
from domcli.cli import output
from domcli.cli.evaluation_text import checkpoint, parameters
from domcli.cli.evaluation_view import EvaluationView, make_view
from domcli.cli.interrupts import Interrupts
from domcli.cli.options import shown_path
from domcli.devices import Device
from domcli.errors import DomcliError, ProcessError
from domcli.evaluations import Evaluation, Plan, Refusal
from domcli.launch import queue, slots, talk
from domcli.launch.placement import Placement
from domcli.launch.talk import Ending, UnfinishedError
from domcli.launch.terms import Terms
from domcli.rundir import RunDirectory
from domcli.settings import Settings

PROCESS: Sequence[str] = children.command("domcli.trainer.assess")
LOG = "evaluation.log"
POLL_SECONDS = 0.2


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
    """Run the process in the folder that the run was launched in, and follow it to its end."""
    placement = Placement(device=slot.device, wanted=wanted, slot=slot.handle)
    launched = run.read_process()
    job = talk.Job(
        f"the evaluation of {run.name}",
        [*PROCESS, str(folder.absolute()), *placement.arguments()],
        placement,
        launched.folder if launched is not None and launched.folder.is_dir() else Path.cwd(),
    )
    try:
        handle = files.open_own(folder / LOG, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise ProcessError(f"cannot start {job.what}: {error}") from error
    with os.fdopen(handle, "ab") as log, make_view() as view:
        return talk.talk(job, log, interrupts, lambda line: _hear(line, view), view.say)


def _hear(line: bytes, view: EvaluationView) -> str | None:
    """Show what the process says; return the reason if it is a refusal."""
    said = evaluations.decode(line)
    if isinstance(said, Refusal):
        return said.reason
    if said is not None:
        view.update(said)
    return None


def _failure(run: RunDirectory, folder: Path, ending: Ending) -> DomcliError:
    log = shown_path(folder / LOG)
    if ending.code == talk.REFUSED and ending.reason is not None:
        return ProcessError(ending.reason)
    if ending.reason is not None:
        return UnfinishedError(f"the evaluation of {run.name} failed: {ending.reason} (log: {log})")
    if ending.signal is not None:
        return UnfinishedError(
            f"the evaluation of {run.name} was killed ({ending.signal}); the same command goes on from what was found"
        )
    return UnfinishedError(f"the evaluation of {run.name} ended without a result, exit code {ending.code} (log: {log})")
