"""`domcli run`: one trainer for each preset and seed, one after another, followed to the end."""

from __future__ import annotations

import contextlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domcli.cli import options, output
from domcli.errors import DomcliError, ProcessError, RunDirectoryError, SettingsError

if TYPE_CHECKING:
    from domcli.cli.follow import Interrupts, Outcome
    from domcli.rundir import RunDirectory
    from domcli.settings import Settings


@dataclass(frozen=True)
class Planned:
    """A run that is to be created: `name` is None for the default."""

    preset: str
    settings: Settings
    name: str | None


@dataclass(frozen=True)
class Launch:
    """How and where all runs of one command are launched."""

    runs_dir: Path
    device: str
    quick: bool


def run(
    presets: Annotated[
        list[str],
        typer.Argument(
            metavar="PRESET",
            help="Names from `domcli presets`, or paths of TOML files.",
            autocompletion=options.complete_preset,
        ),
    ],
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="0,1,2", help="One run for each seed [default: the preset's].")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting; may be given several times."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Shrink to about a minute: digits, a narrow network, few epochs.")
    ] = False,
    detach: options.Detach = False,
    device: options.Device = "auto",
    runs_dir: options.RunsDir = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run [default: PRESET-seedN]; -seedN is added for seeds.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Train presets, following each run with its progress; several run one after another.

    Ctrl-C asks the trainer to write a checkpoint and stop; a second one kills it. Closing the terminal leaves it
    running.
    """
    from domcli.launch import preflight

    launch = Launch(options.resolve_runs_dir(runs_dir), device, quick)
    planned = _plan(presets, _seeds(seeds), overrides or [], launch, name)
    if detach and len(planned) > 1:
        raise ProcessError(f"--detach starts a single run, and these are {len(planned)}: start them one by one")
    preflight([one.settings for one in planned], launch.runs_dir)
    if detach:
        _start_detached(planned[0], launch, as_json)
    else:
        _run_all(planned, launch, as_json)


def _plan(
    presets: list[str], seeds: list[int] | None, overrides: list[str], launch: Launch, name: str | None
) -> list[Planned]:
    """Resolve and validate every run before the first is created."""
    from domcli.presets import resolve
    from domcli.rundir import require_unused

    if name is not None and len(presets) > 1:
        raise RunDirectoryError(f"--name names the runs of one preset, and these are {len(presets)}: leave it out")
    each_seed: list[int | None] = [*seeds] if seeds else [None]
    planned = []
    for preset in presets:
        for seed in each_seed:
            own = [*overrides, *([] if seed is None else [f"train.seed={seed}"])]
            full_name = f"{name}-seed{seed}" if name is not None and len(each_seed) > 1 else name
            if full_name is not None:
                require_unused(launch.runs_dir, full_name)
            planned.append(Planned(_preset_name(preset), resolve(preset, own, launch.quick), full_name))
    return planned


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise SettingsError(f"--seeds {text}: write whole numbers with commas between them, as in 0,1,2") from error


def _preset_name(preset: str) -> str:
    return Path(preset).stem if preset.endswith(".toml") else Path(preset).name


def _run_all(planned: list[Planned], launch: Launch, as_json: bool) -> None:
    from domcli.cli.follow import Interrupts
    from domcli.cli.summary import as_json as summary
    from domcli.cli.watch import closing_summary, exit_code

    outcomes: list[Outcome] = []
    try:
        with Interrupts() as interrupts:
            for number, one in enumerate(planned, start=1):
                if len(planned) > 1:
                    output.note(f"run {number} of {len(planned)}")
                outcomes.append(_run_one(one, launch, interrupts))
                if not as_json:
                    closing_summary(outcomes[-1])
                if interrupts.count:
                    _tell_not_started(planned[number:])
                    break
    finally:
        if as_json and outcomes:
            output.json_data([summary(outcome.run) for outcome in outcomes])
    raise typer.Exit(exit_code(outcomes, interrupts))


def _run_one(one: Planned, launch: Launch, interrupts: Interrupts) -> Outcome:
    """Run one to its end. A run that its trainer refuses leaves nothing behind, and the reason is raised."""
    from domcli import rundir
    from domcli.cli.watch import watch
    from domcli.launch import start

    made = [folder for folder in (launch.runs_dir, *launch.runs_dir.parents) if not folder.exists()]
    directory = _create(one, launch)
    try:
        outcome = watch(directory, lambda: start(directory, launch.device), interrupts)
        if outcome.ending == "refused":
            raise ProcessError(str(outcome.reason))
    except DomcliError:
        rundir.discard(directory)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return outcome


def _start_detached(one: Planned, launch: Launch, as_json: bool) -> None:
    from domcli.cli.summary import as_json as summary
    from domcli.cli.watch import tell_detached
    from domcli.launch import start
    from domcli.runs import read_run

    directory = _create(one, launch)
    tell_detached(directory, start(directory, launch.device))
    if as_json:
        output.json_data([summary(read_run(directory))])


def _create(one: Planned, launch: Launch) -> RunDirectory:
    from domcli.launch import create_run

    command_line = shlex.join(["domcli", *sys.argv[1:]])
    return create_run(one.settings, one.preset, launch.runs_dir, one.name, command_line, quick=launch.quick)


def _tell_not_started(rest: list[Planned]) -> None:
    if rest:
        output.note("not started: " + ", ".join(f"{one.preset} seed {one.settings.train.seed}" for one in rest))
