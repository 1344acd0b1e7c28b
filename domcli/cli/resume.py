"""`domcli resume` and `domcli retry`: go on with runs from their last checkpoints; `domcli follow`: look on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import launching, options, output
from domcli.errors import DomcliError, ProcessError
from domcli.plural import counted

if TYPE_CHECKING:
    from domcli.cli.follow import Interrupts
    from domcli.rundir import RunDirectory
    from domcli.runs import Run
    from domcli.settings import Settings

FAILED = ["failed", "lost"]


def resume(
    runs: options.RunNames = None,
    states: options.States = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="Train to epoch N; beyond the schedule at its last learning rate."
        ),
    ] = None,
    detach: options.Detach = False,
    devices: launching.Devices = "auto",
    jobs_per_gpu: launching.JobsPerGpu = "auto",
    max_retries: launching.MaxRetries = 0,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Go on with runs that were stopped, failed or were lost, from their last checkpoints, as `domcli run` does.

    With --epochs finished runs go on, too. What has been computed stays what it is: the schedule and the warm-up keep
    the epochs that they span, and epochs after them are trained at the last learning rate. Beyond a cyclical schedule
    that is 0, so there it is refused.
    """
    from domcli.cli.selection import select_runs

    found = select_runs(runs, states, runs_dir, verb="resume")
    if epochs is not None:
        _require_extensible(found, epochs)
    refused = {run.directory.name: why for run in found if epochs is None and (why := _why_not(run))}
    for run in found:
        if run.status == "failed" and run.state.diverged:
            output.warning(f"{run.directory.name} diverged; gone on with on the same kind of device, it does so again")
    _queue(found, refused, devices, jobs_per_gpu, max_retries, epochs=epochs, detach=detach, as_json=as_json)


def retry(
    runs: options.RunNames = None,
    detach: options.Detach = False,
    devices: launching.Devices = "auto",
    jobs_per_gpu: launching.JobsPerGpu = "auto",
    max_retries: launching.MaxRetries = 0,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Resume failed and lost runs: all of them, or those among the runs that are named."""
    from domcli.cli.selection import select_runs

    found = select_runs(runs, FAILED, runs_dir, verb="retry")
    refused = {run.directory.name: why for run in found if (why := _why_not(run) or _why_not_again(run))}
    _queue(found, refused, devices, jobs_per_gpu, max_retries, detach=detach, as_json=as_json)


def follow(
    runs: options.RunNames = None,
    states: options.States = None,
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Follow runs that are queued or at work (default: all of them) with their progress.

    It only looks on: Ctrl-C leaves and touches nothing, `domcli stop` stops.
    """
    from domcli.cli.follow import AT_WORK, Onlooker
    from domcli.cli.selection import select_runs

    found = select_runs(runs, states or ([] if runs else list(AT_WORK)), runs_dir, verb="follow")
    _follow(_readable(found), Onlooker(), as_json=as_json)


def _require_extensible(found: list[Run], epochs: int) -> None:
    """Say how runs will go on to another number of epochs; nothing is changed before they are launched.

    Raises the DomcliError of the first that cannot.
    """
    from domcli.launch.extend import extended

    spans = {}
    for run in found:
        if (why := _at_work(run)) is not None:
            raise ProcessError(why)
        run.directory.require_own("resume")
        spans[run.directory.name] = extended(run, epochs).train.span
    for name, span in spans.items():
        if epochs > span:
            output.note(
                f"{name}: after {counted(span, 'epoch')} its schedule has ended, and it goes on to epoch {epochs} at "
                "the last learning rate"
            )


def _queue(
    found: list[Run],
    refused: Mapping[str, str],
    devices: str,
    jobs_per_gpu: str,
    max_retries: int,
    *,
    epochs: int | None = None,
    detach: bool,
    as_json: bool,
) -> None:
    """Queue the runs but for those that are refused, each for its reason, and follow them."""
    import msgspec

    from domcli.cli.follow import Interrupts
    from domcli.cli.summary import as_json as summary
    from domcli.launch import queue
    from domcli.runs import read_run

    if not found:
        return
    resumable = _resumable(found, refused)
    directories = list(resumable)
    tickets = launching.tickets(list(resumable.values()), devices, jobs_per_gpu, max_retries)
    for directory, ticket in zip(directories, tickets, strict=True):
        queue.enqueue(directory, msgspec.structs.replace(ticket, epochs=epochs))
    for folder in {directory.path.parent for directory in directories}:
        queue.wake(folder)
    if not detach:
        _follow(directories, Interrupts(), as_json=as_json)
        return
    launching.tell_detached(directories)
    if as_json:
        output.json_data([summary(read_run(directory)) for directory in directories])


def _resumable(found: list[Run], refused: Mapping[str, str]) -> dict[RunDirectory, Settings]:
    """Return the runs that can go on, with their settings, and say which cannot.

    Raises DomcliError, before any is queued, if none can.
    """
    left_out: list[DomcliError] = [ProcessError(why) for why in refused.values()]
    wanted = [run for run in found if run.directory.name not in refused]
    resumable = {run.directory: settings for run in wanted if (settings := _settings_of(run, left_out, untouched=True))}
    _tell_left_out(left_out, whole=not resumable)
    return resumable


def _readable(found: list[Run]) -> list[RunDirectory]:
    """Return the runs that can be shown as they go on, and say which cannot. Raises DomcliError if none can."""
    refused: list[DomcliError] = []
    readable = [run.directory for run in found if _settings_of(run, refused)]
    _tell_left_out(refused, whole=not readable)
    return readable


def _settings_of(run: Run, refused: list[DomcliError], *, untouched: bool = False) -> Settings | None:
    """Return the settings of a run; None if they cannot be read or must not be trusted, which `refused` then tells."""
    from domcli.presets import from_run

    try:
        if untouched:
            run.directory.require_own("resume")
            run.directory.require_untouched()
        return from_run(run.directory)
    except DomcliError as error:
        refused.append(error)
        return None


def _tell_left_out(refused: list[DomcliError], *, whole: bool) -> None:
    """Say which runs are left out and why. Raises DomcliError if it is all of them."""
    if whole and refused:
        raise DomcliError(*(why for error in refused for why in error.sentences))
    for error in refused:
        for why in error.sentences:
            output.note(f"left out: {why}")


def _why_not(run: Run) -> str | None:
    from domcli.launch.extend import is_complete

    if is_complete(run):
        return f"{run.directory.name} is finished: there is nothing left to resume; --epochs N trains it on to epoch N"
    return _at_work(run)


def _why_not_again(run: Run) -> str | None:
    if run.state.diverged:
        return f"{run.directory.name} diverged, and would again: other settings are needed, in a new run"
    return None


def _at_work(run: Run) -> str | None:
    name = run.directory.name
    if run.status == "queued":
        return f"{name} is queued already"
    if run.status in ("starting", "running"):
        pid = f" (process {run.process.pid})" if run.process else ""
        return f"{name} already has a trainer{pid}; stop it first, or look on with {options.program()} follow"
    return None


def _follow(directories: list[RunDirectory], interrupts: Interrupts, *, as_json: bool) -> None:
    if not directories:
        return
    with interrupts:
        outcomes = launching.watch(directories, interrupts)
    refused = [outcome for outcome in outcomes if outcome.ending == "refused"]
    if len(refused) == len(outcomes) == 1:
        raise ProcessError(str(refused[0].reason))
    for outcome in refused:
        output.error(f"{outcome.run.directory.name}: {outcome.reason}")
    raise launching.conclude(outcomes, interrupts, as_json=as_json)
