"""What the dashboard does to runs: the same as the commands of the same names. Every function blocks."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from domcli import presets
from domcli.errors import DomcliError, SettingsError
from domcli.launch import control, planning, prepare, queue
from domcli.launch.planning import Planned
from domcli.rundir import RunDirectory
from domcli.sharing import choice
from domcli.ticket import Ticket


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

    def planned(self, runs_dir: Path) -> list[Planned]:
        """Return each run as `domcli run` would plan it. Raises SettingsError or RunDirectoryError."""
        seeds = self.seeds if self.seeds.strip() else None
        return planning.plan([self.preset], seeds, self.overrides, runs_dir, self.name or None, quick=self.quick)

    def tickets(self, planned: Sequence[Planned]) -> list[Ticket]:
        """Return a ticket for each run, in their order. Raises SettingsError or DeviceError."""
        wanted, jobs, retries = self.devices or "auto", parse_jobs(self.jobs), parse_retries(self.retries)
        return queue.new_tickets([one.settings for one in planned], wanted, jobs, retries)

    def command(self, runs_dir: Path | None = None) -> str:
        """Return the command that starts the same runs."""
        words = ["domcli", "run", self.preset]
        words += ["--quick"] if self.quick else []
        words += ["--seeds", self.seeds.replace(" ", "")] if self.seeds.strip() else []
        for override in self.overrides:
            words += ["--set", override]
        words += ["--device", self.devices] if self.devices not in ("", "auto") else []
        words += ["--jobs-per-gpu", self.jobs] if self.jobs not in ("", choice.AUTO) else []
        words += ["--max-retries", self.retries] if self.retries not in ("", "0") else []
        words += ["--name", self.name] if self.name else []
        words += ["--runs-dir", str(runs_dir)] if runs_dir is not None else []
        return shlex.join([*words, "--detach"])


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that were typed, none for an empty text. Raises SettingsError (see planning.parse_seeds)."""
    return planning.parse_seeds(text, "seeds") if text.strip() else []


def parse_jobs(text: str) -> int | None:
    """Return how many may train on a device at a time, None for as many as are best. Raises SettingsError."""
    return choice.parse(text or choice.AUTO, "jobs per GPU")


def parse_retries(text: str) -> int:
    """Return how often a run that failed is resumed, never for an empty text. Raises SettingsError."""
    return _whole(f"retries {text}", text or "0", least=0)


def _whole(what: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{what}: write a whole number, {least} or more")
    return int(text)


def start(order: Order, runs_dir: Path) -> list[RunDirectory]:
    """Queue a run for each seed and return them; all of them or, on an error, none that has not begun."""
    planned = order.planned(runs_dir)
    prepare.preflight([one.settings for one in planned], runs_dir)
    created = planning.create(planned, order.tickets(planned), runs_dir, order.command())
    queue.wake(runs_dir)
    return created


def stop(runs: Sequence[RunDirectory]) -> list[str]:
    """Ask trainers to write a checkpoint and stop, take runs out of the queue; return what stood in the way."""
    return _each(runs, lambda run: queue.request_end(run, control.request_stop))


def kill(runs: Sequence[RunDirectory]) -> list[str]:
    """End trainers at once, take runs out of the queue; return what stood in the way."""
    return _each(runs, lambda run: queue.request_end(run, control.kill))


def resume(runs: Sequence[RunDirectory]) -> list[str]:
    """Queue runs that are to go on from their last checkpoints; return what stood in the way."""
    chosen = queue.choose_devices("auto")
    automatic = choice.Automatic(chosen)

    def enqueue(run: RunDirectory) -> None:
        settings = presets.from_run(run)
        queue.enqueue(run, queue.new_ticket(chosen, jobs=automatic.jobs(settings)))

    problems = _each(runs, enqueue)
    for folder in {run.path.parent for run in runs}:
        queue.wake(folder)
    return problems


def delete(runs: Sequence[RunDirectory]) -> list[str]:
    """Remove runs with everything in them; return what stood in the way. A run at work is not removed."""

    return _each(runs, queue.delete)


def _each(runs: Sequence[RunDirectory], act: Callable[[RunDirectory], object]) -> list[str]:
    return [problem for run in runs if (problem := _problem(run, act)) is not None]


def _problem(run: RunDirectory, act: Callable[[RunDirectory], object]) -> str | None:
    try:
        act(run)
    except (DomcliError, OSError) as error:
        return str(error)
    return None
