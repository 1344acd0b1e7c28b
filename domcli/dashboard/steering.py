"""What the dashboard does to runs: the same as the commands of the same names. Every function blocks."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from domcli import launch, presets, rundir
from domcli.errors import DomcliError, SettingsError
from domcli.rundir import RunDirectory
from domcli.settings import Settings
from domcli.ticket import Ticket

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Order:
    """Runs that are to be started, as the options of `domcli run` say it."""

    preset: str
    overrides: tuple[str, ...] = ()
    seeds: str = ""
    quick: bool = False
    devices: str = "auto"
    name: str = ""
    jobs: str = ""
    """How many may train on a device at a time; empty: as many as are best."""
    retries: str = ""
    """How often a run that failed is resumed by itself; empty: never."""

    def settings(self) -> list[Settings]:
        """Return the settings of each run. Raises SettingsError."""
        each = [[f"train.seed={seed}"] for seed in parse_seeds(self.seeds)] or [[]]
        return [presets.resolve(self.preset, [*self.overrides, *seed], self.quick) for seed in each]

    def tickets(self) -> list[Ticket]:
        """Return a ticket for each run, in their order. Raises SettingsError or DeviceError."""
        wanted, jobs, retries = self.devices or "auto", parse_jobs(self.jobs), parse_retries(self.retries)
        return launch.new_tickets(self.settings(), wanted, jobs, retries)

    def command(self, runs_dir: Path | None = None) -> str:
        """Return the command that starts the same runs."""
        words = ["domcli", "run", self.preset]
        words += ["--quick"] if self.quick else []
        words += ["--seeds", self.seeds.replace(" ", "")] if self.seeds.strip() else []
        for override in self.overrides:
            words += ["--set", override]
        words += ["--device", self.devices] if self.devices not in ("", "auto") else []
        words += ["--jobs-per-gpu", self.jobs] if self.jobs not in ("", launch.AUTO) else []
        words += ["--max-retries", self.retries] if self.retries not in ("", "0") else []
        words += ["--name", self.name] if self.name else []
        words += ["--runs-dir", str(runs_dir)] if runs_dir is not None else []
        return shlex.join([*words, "--detach"])


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a list such as `0,1,2` or `0-4`, none for an empty text. Raises SettingsError."""
    seeds: list[int] = []
    try:
        for part in text.split(",") if text.strip() else ():
            first, dash, last = part.strip().partition("-")
            seeds += range(int(first), min(int(last), int(first) + MOST_SEEDS) + 1) if dash else [int(first)]
            if dash and int(last) < int(first):
                raise ValueError
    except ValueError:
        raise SettingsError(f"seeds {text}: write whole numbers with commas between them, as in 0,1,2 or 0-4") from None
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise SettingsError(f"seeds {text}: {twice[0]} is there more than once; a seed gives the same run every time")
    return seeds


def parse_jobs(text: str) -> int | None:
    """Return how many may train on a device at a time, None for as many as are best. Raises SettingsError."""
    return launch.parse_jobs(text or launch.AUTO, "jobs per GPU")


def parse_retries(text: str) -> int:
    """Return how often a run that failed is resumed, never for an empty text. Raises SettingsError."""
    return _whole(f"retries {text}", text or "0", least=0)


def _whole(what: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{what}: write a whole number, {least} or more")
    return int(text)


def start(order: Order, runs_dir: Path) -> list[RunDirectory]:
    """Queue a run for each seed and return them; all of them or, on an error, none that has not begun."""
    experiments = order.settings()
    names = [_name(order, settings, several=len(experiments) > 1) for settings in experiments]
    for name in names:
        if name is not None:
            rundir.require_unused(runs_dir, name)
    launch.preflight(experiments, runs_dir)
    tickets = order.tickets()
    preset = Path(order.preset).stem if order.preset.endswith(".toml") else Path(order.preset).name
    created: list[RunDirectory] = []
    try:
        for settings, name, ticket in zip(experiments, names, tickets, strict=True):
            command = order.command()
            created.append(
                launch.create_run(settings, preset, runs_dir, name, command, quick=order.quick, ticket=ticket)
            )
    except BaseException:
        for run in created:
            if launch.cancel(run):
                rundir.discard(run)
        raise
    launch.wake(runs_dir)
    return created


def stop(runs: Sequence[RunDirectory]) -> list[str]:
    """Ask trainers to write a checkpoint and stop, take runs out of the queue; return what stood in the way."""
    return _each(runs, lambda run: launch.request_end(run, launch.request_stop))


def kill(runs: Sequence[RunDirectory]) -> list[str]:
    """End trainers at once, take runs out of the queue; return what stood in the way."""
    return _each(runs, lambda run: launch.request_end(run, launch.kill))


def resume(runs: Sequence[RunDirectory]) -> list[str]:
    """Queue runs that are to go on from their last checkpoints; return what stood in the way."""
    chosen = launch.choose_devices("auto")
    automatic = launch.Automatic(chosen)

    def queue(run: RunDirectory) -> None:
        settings = presets.from_run(run)
        launch.enqueue(run, launch.new_ticket(chosen, jobs=automatic.jobs(settings)))

    problems = _each(runs, queue)
    for folder in {run.path.parent for run in runs}:
        launch.wake(folder)
    return problems


def delete(runs: Sequence[RunDirectory]) -> list[str]:
    """Remove runs with everything in them; return what stood in the way. A run at work is not removed."""

    return _each(runs, launch.delete)


def _name(order: Order, settings: Settings, *, several: bool) -> str | None:
    if not order.name:
        return None
    return f"{order.name}-seed{settings.train.seed}" if several else order.name


def _each(runs: Sequence[RunDirectory], act: Callable[[RunDirectory], object]) -> list[str]:
    return [problem for run in runs if (problem := _problem(run, act)) is not None]


def _problem(run: RunDirectory, act: Callable[[RunDirectory], object]) -> str | None:
    try:
        act(run)
    except (DomcliError, OSError) as error:
        return str(error)
    return None
