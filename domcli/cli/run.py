"""`domcli run`: from presets to runs, which queue for free slots and go on when this command ends."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import launching, options, output
from domcli.errors import NoRoomError, ProcessError, SettingsError

if TYPE_CHECKING:
    from domcli.cli.follow import Outcome
    from domcli.launch.order import Planned


def run(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PRESET",
            help="Names from `domcli presets`, globs such as 'natural-*', or paths of TOML files.",
            autocompletion=options.complete_preset,
        ),
    ] = None,
    all_paper: Annotated[
        bool, typer.Option("--all-paper", help="All settings of the paper and their baselines.")
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="0,1,2", help="One run for each seed, also 0-4 [default: the preset's]."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting; may be given several times."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Shrink to about a minute: digits, a narrow network, 6 epochs of 64.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be queued, and how long it would take; start nothing.")
    ] = False,
    detach: options.Detach = False,
    devices: launching.Devices = "auto",
    jobs_per_gpu: launching.JobsPerGpu = "auto",
    max_retries: launching.MaxRetries = 0,
    runs_dir: options.RunsDir = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run [default: PRESET-seedN]; -seedN is added for seeds.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Queue a run for each preset and seed, and follow them with their progress.

    Runs start in order when a device is free. Ctrl-C takes them out of the queue and asks their trainers to write a
    checkpoint and stop; a second one kills. Ctrl-\\ or closing the terminal leaves them at work.
    """
    from domcli.launch.order import Order, all_presets

    if not presets and not all_paper:
        raise SettingsError("nothing to run: give a preset (`domcli presets` lists them), or --all-paper")
    order = Order(
        presets=(*(presets or ()), *(all_presets() if all_paper else ())),
        seeds=seeds,
        overrides=tuple(overrides or ()),
        quick=quick,
        name=name,
        devices=devices,
        jobs=jobs_per_gpu,
        retries=str(max_retries),
        runs_dir=None if runs_dir is None else str(runs_dir),
    )
    folder = options.resolve_runs_dir(runs_dir)
    planned = order.plan(folder, ["domcli", *sys.argv[1:]])
    launching.warn_of(one.settings for one in planned)
    if dry_run:
        _show(planned, folder, as_json=as_json)
    elif detach:
        _start_detached(planned, folder, as_json=as_json)
    else:
        _run_all(planned, folder, as_json=as_json)


def _show(planned: list[Planned], runs_dir: Path, *, as_json: bool) -> None:
    from domcli.cli.dry_run import show
    from domcli.launch.prepare import preflight

    try:
        preflight([one.settings for one in planned], runs_dir)
    except NoRoomError as error:  # a plan may be looked at where it cannot be carried out yet
        output.warning(str(error))
    show(planned, runs_dir, as_json=as_json)


def _run_all(planned: list[Planned], runs_dir: Path, *, as_json: bool) -> None:
    """Queue the runs and follow them. Runs that their trainers refuse leave nothing behind but the reason."""
    from domcli.cli.interrupts import Interrupts
    from domcli.launch import queue
    from domcli.launch.order import create

    made = launching.folders_to_make(runs_dir)
    with Interrupts() as interrupts:
        directories = create(planned, runs_dir)
        queue.wake(runs_dir)
        outcomes = launching.watch(directories, interrupts)
    # A retry may be refused, too: what has been trained before it stays.
    refused = [outcome for outcome in outcomes if outcome.ending == "refused" and not outcome.run.state.started]
    for outcome in refused:
        _discard(outcome, several=len(outcomes) > 1)
    if refused and len(refused) == len(outcomes):
        _remove(made, runs_dir)
    if len(outcomes) == len(refused) == 1:
        raise ProcessError(str(refused[0].reason))
    kept = [outcome for outcome in outcomes if outcome not in refused]
    end = launching.conclude(kept, interrupts, as_json=as_json)
    raise end if not refused else typer.Exit(max(end.exit_code, launching.RUN_FAILED if kept else launching.REFUSED))


def _start_detached(planned: list[Planned], runs_dir: Path, *, as_json: bool) -> None:
    from domcli.cli.summary import as_json as summary
    from domcli.launch import queue
    from domcli.launch.order import create
    from domcli.runs import read_run

    directories = create(planned, runs_dir)
    queue.wake(runs_dir)
    launching.tell_detached(directories)
    if as_json:
        output.json_data([summary(read_run(directory)) for directory in directories])


def _discard(outcome: Outcome, *, several: bool) -> None:
    from domcli.discarding import discard

    if several:
        output.error(f"{outcome.run.directory.name}: {outcome.reason}")
    discard(outcome.run.directory)


def _remove(made: list[Path], runs_dir: Path) -> None:
    """Remove the folders that this command has made, as long as they are empty."""
    from domcli.launch import slots

    if runs_dir in made:
        slots.forget(runs_dir)
    for folder in made:
        with contextlib.suppress(OSError):
            folder.rmdir()
