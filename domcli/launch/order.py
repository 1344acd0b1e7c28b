"""Which runs are asked for, on the command line or in the dashboard: all checked before the first is created."""

from __future__ import annotations

import contextlib
import fnmatch
import shlex
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from domcli import files, rundir
from domcli.discarding import discard
from domcli.errors import DomcliError, RunDirectoryError, SettingsError
from domcli.files import is_regular
from domcli.launch.prepare import machine, preflight
from domcli.launch.queue import cancel
from domcli.launch.terms import Terms
from domcli.naming import default_name, seed_name
from domcli.origin import KEY, Origin
from domcli.printable import printable_line, quoted
from domcli.rundir import RunDirectory
from domcli.sharing.choice import AUTO

if TYPE_CHECKING:
    from domcli.settings import Settings
    from domcli.ticket import Ticket

GLOB_SIGNS = frozenset("*?[")
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Planned:
    """A run that is to be created."""

    name: str
    settings: Settings
    ticket: Ticket
    origin: Origin

    @property
    def preset(self) -> str:
        """What its preset is called."""
        return preset_name(self.origin.preset)


@dataclass(frozen=True, kw_only=True)
class Order(Terms):
    """Runs that are to be made, as the options of `domcli run` say it: one for each preset and seed."""

    presets: tuple[str, ...]
    """Names, globs such as 'natural-*', paths of files."""
    seeds: str | None = None
    """A list such as `0,1,2` or `0-4`; None for the seed of the preset."""
    overrides: tuple[str, ...] = ()
    quick: bool = False
    name: str | None = None
    """What the runs are called; None for PRESET-seedN."""
    runs_dir: str | None = None
    """The folder, if one was given."""

    def seed_list(self) -> list[int] | None:
        """Return the seeds; None for that of the preset. Raises SettingsError."""
        return None if self.seeds is None else parse_seeds(self.seeds, self.called.seeds)

    def plan(self, runs_dir: Path, command: Sequence[str] | None = None) -> list[Planned]:
        """Return the runs that would be created now, the seeds of a preset one after another.

        `command` is what was typed; None for what could have been. Raises SettingsError, RunDirectoryError or
        DeviceError for the first thing that is wrong.
        """
        from domcli.presets import resolve

        presets, seeds = _expand(self.presets), self.seed_list()
        if self.name is not None and len(presets) > 1:
            called = self.called.name
            raise RunDirectoryError(
                f"{called} names the runs of one preset, and these are {len(presets)}: leave it out"
            )
        each_seed: list[int | None] = [*seeds] if seeds else [None]
        each = [(preset, seed) for preset in presets for seed in each_seed]
        named = [self._name_of(seed, seeds) for _, seed in each]
        for name in named:
            if name is not None:
                rundir.require_unused(runs_dir, name)
        experiments = [resolve(preset, self._settings_of(seed), self.quick) for preset, seed in each]
        tickets = self.tickets(experiments)
        planned: dict[str, Planned] = {}
        for (preset, _), name, settings, ticket in zip(each, named, experiments, tickets, strict=True):
            origin = self._origin(preset, seeds, command)
            chosen = _free_name(runs_dir, settings, origin, planned.keys()) if name is None else name
            planned[chosen] = Planned(chosen, settings, ticket, origin)
        return list(planned.values())

    def words(self) -> list[str]:
        """Return the command that makes the same runs, word by word."""
        words = ["domcli", "run", *self.presets]
        words += ["--quick"] if self.quick else []
        words += ["--seeds", self.seeds.replace(" ", "")] if self.seeds is not None else []
        for override in self.overrides:
            words += ["--set", override]
        words += ["--device", self.devices] if self.devices != "auto" else []
        words += ["--jobs-per-gpu", self.jobs] if self.jobs != AUTO else []
        words += ["--max-retries", self.retries] if self.retries != "0" else []
        words += ["--name", self.name] if self.name else []
        words += ["--runs-dir", self.runs_dir] if self.runs_dir else []
        return [*words, "--detach"]

    def command(self) -> str:
        """Return the command that makes the same runs, as it is typed in a shell."""
        return shlex.join(self.words())

    def _origin(self, preset: str, seeds: Sequence[int] | None, command: Sequence[str] | None) -> Origin:
        return Origin(
            command=tuple(self.words() if command is None else command),
            presets=self.presets,
            preset=preset,
            overrides=self.overrides,
            quick=self.quick,
            seeds=None if seeds is None else tuple(seeds),
            name=self.name,
            runs_dir=self.runs_dir,
        )

    def _name_of(self, seed: int | None, seeds: Sequence[int] | None) -> str | None:
        """Return what a run is to be called; None if nobody has said so."""
        several = seeds is not None and len(seeds) > 1
        return seed_name(self.name, seed) if self.name and seed is not None and several else self.name

    def _settings_of(self, seed: int | None) -> list[str]:
        return [*self.overrides, *([] if seed is None else [f"train.seed={seed}"])]


def create(planned: Sequence[Planned], runs_dir: Path) -> list[RunDirectory]:
    """Create the run directories, all of them in the queue, or none of those that have not begun.

    Each has the name that was planned, or the next number where somebody has taken that meanwhile. Raises DataError,
    StorageError or RunDirectoryError.
    """
    preflight([one.settings for one in planned], runs_dir)
    known, names = machine(), {one.name for one in planned}
    # The checks take a while: who orders meanwhile, and is done sooner, is not passed over.
    now = time.time()
    created: list[RunDirectory] = []
    try:
        for one in planned:
            made = _create(one, msgspec.structs.replace(one.ticket, queued=now), runs_dir, known, names)
            created.append(made)
    except BaseException:
        for directory in created:
            _take_back(directory)
        raise
    return created


def told_folder(runs_dir: Path) -> str | None:
    """Return the folder of runs as it is told in a command; None for the usual one."""
    return None if runs_dir == Path("runs") else str(runs_dir)


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
    except (ValueError, OverflowError):
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


def preset_name(preset: str) -> str:
    """Return what a preset is called: of a file, its name without the ending."""
    return Path(preset).stem if preset.endswith(".toml") else Path(preset).name


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


def _create(
    one: Planned, ticket: Ticket, runs_dir: Path, known: Mapping[str, Any], taken: Collection[str]
) -> RunDirectory:
    name, told = one.name, {**_told(one), **known}
    copies = _copies(one.settings)
    while True:
        folder = runs_dir / name
        try:
            return rundir.create(runs_dir, name, one.settings.to_dict(), told, ticket, copies)
        except RunDirectoryError:
            if one.origin.name is not None or not files.exists(folder):
                raise
            # Another shell has taken the name between the look and the creation.
            name = _free_name(runs_dir, one.settings, one.origin, taken)


def _copies(settings: Settings) -> dict[str, bytes]:
    """Return the files that extend a run's catalogue, by name. Raises SettingsError if one has changed meanwhile."""
    if not settings.extensions:
        return {}
    from domcli import extensions

    return extensions.contents(settings.extensions)


def _free_name(runs_dir: Path, settings: Settings, origin: Origin, taken: Collection[str]) -> str:
    """Return the usual name of a run, numbered where a run has it or is to have it."""
    usual = default_name(preset_name(origin.preset), settings.train.seed, origin.quick)
    return rundir.unused_name(runs_dir, usual, taken)


def _told(one: Planned) -> dict[str, Any]:
    """Return what environment.json says of how a run came to be."""
    return {
        # A name, or an argument, need not be UTF-8; what is written is.
        "preset": printable_line(one.preset),
        "quick": one.origin.quick,
        "command_line": printable_line(shlex.join(one.origin.command)),
        KEY: one.origin.table(),
        "created": time.time(),
    }


def _take_back(directory: RunDirectory) -> None:
    with contextlib.suppress(DomcliError, OSError):
        if cancel(directory):
            discard(directory)
