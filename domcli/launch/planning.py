"""Which runs are asked for, on the command line or in the dashboard: all checked before the first is created."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domcli import rundir
from domcli.errors import DomcliError, RunDirectoryError, SettingsError
from domcli.files import is_regular
from domcli.launch.prepare import create_run
from domcli.launch.queue import cancel
from domcli.naming import default_name, seed_name
from domcli.printable import quoted
from domcli.rundir import RunDirectory
from domcli.ticket import Ticket

if TYPE_CHECKING:
    from domcli.settings import Settings

GLOB_SIGNS = frozenset("*?[")
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Planned:
    """A run that is to be created: `name` is None for the default."""

    preset: str
    settings: Settings
    name: str | None
    quick: bool = False

    @property
    def wanted_name(self) -> str:
        """The name that it gets where that is not taken."""
        return self.name or default_name(self.preset, self.settings.train.seed, self.quick)


def plan(
    wanted: Sequence[str],
    seeds: str | None,
    overrides: Sequence[str],
    runs_dir: Path,
    name: str | None,
    *,
    quick: bool,
) -> list[Planned]:
    """Return a run for each preset and seed, the seeds of a preset one after another.

    Raises SettingsError or RunDirectoryError for the first thing that is wrong.
    """
    from domcli.presets import resolve

    presets = _expand(wanted)
    if name is not None and len(presets) > 1:
        raise RunDirectoryError(f"--name names the runs of one preset, and these are {len(presets)}: leave it out")
    given = None if seeds is None else parse_seeds(seeds)
    each_seed: list[int | None] = [*given] if given else [None]
    planned = []
    for preset in presets:
        for seed in each_seed:
            own = [*overrides, *([] if seed is None else [f"train.seed={seed}"])]
            full_name = seed_name(name, seed) if name and seed is not None and len(each_seed) > 1 else name
            if full_name is not None:
                rundir.require_unused(runs_dir, full_name)
            planned.append(Planned(_preset_name(preset), resolve(preset, own, quick), full_name, quick))
    return planned


def create(
    planned: Sequence[Planned], tickets: Sequence[Ticket], runs_dir: Path, command_line: str
) -> list[RunDirectory]:
    """Create the run directories, all of them in the queue, or none of those that have not begun."""
    created: list[RunDirectory] = []
    try:
        for one, ticket in zip(planned, tickets, strict=True):
            made = create_run(
                one.settings, one.preset, runs_dir, one.name, command_line, quick=one.quick, ticket=ticket
            )
            created.append(made)
    except BaseException:
        for directory in created:
            _take_back(directory)
        raise
    return created


def all_presets() -> list[str]:
    """Return the names of the settings of the paper, in the order of its tables."""
    from domcli.presets import available

    return [preset.name for preset in available()]


def parse_seeds(text: str, what: str = "--seeds") -> list[int]:
    """Return the seeds of a list such as `0,1,2` or `0-4`. Raises SettingsError; `what` names where they were typed."""
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            found = range(int(first), int(last) + 1) if dash else range(int(first), int(first) + 1)
            if not found:
                raise ValueError
            if len(found) > MOST_SEEDS:
                raise SettingsError(f"{what} {text}: {part} are {len(found):,} seeds; give {MOST_SEEDS:,} at the most")
            seeds += found
    except ValueError:
        seeds = []
    if not seeds:
        raise SettingsError(f"{what} {quoted(text)}: write whole numbers with commas between them, as in 0,1,2 or 0-4")
    if len(seeds) > MOST_SEEDS:
        raise SettingsError(f"{what} {text}: these are {len(seeds):,} seeds; give {MOST_SEEDS:,} at the most")
    known: set[int] = set()
    for seed in seeds:
        if seed in known:
            raise SettingsError(f"{what} {text}: {seed} is there more than once; a seed gives the same run every time")
        known.add(seed)
    return seeds


def _expand(wanted: Sequence[str]) -> list[str]:
    """Return the presets that are meant, globs such as 'natural-*' replaced by the names they fit, each once."""
    found: list[str] = []
    for one in wanted:
        if GLOB_SIGNS.isdisjoint(one) or "/" in one or is_regular(Path(one)):
            found.append(one)
            continue
        fitting = [name for name in all_presets() if fnmatch.fnmatchcase(name, one)]
        if not fitting:
            raise SettingsError(f"no preset fits {quoted(one)}; `domcli presets` lists them")
        found += fitting
    return list(dict.fromkeys(found))


def _take_back(directory: RunDirectory) -> None:
    with contextlib.suppress(DomcliError, OSError):
        if cancel(directory):
            rundir.discard(directory)


def _preset_name(preset: str) -> str:
    return Path(preset).stem if preset.endswith(".toml") else Path(preset).name
