"""Which runs a command line asks for: presets and seeds resolved and validated before the first is created."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domcli.errors import RunDirectoryError, SettingsError
from domcli.naming import seed_name

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


def plan(
    wanted: list[str], seeds: str | None, overrides: list[str], runs_dir: Path, name: str | None, *, quick: bool
) -> list[Planned]:
    """Return a run for each preset and seed, the seeds of a preset one after another.

    Raises SettingsError or RunDirectoryError for the first thing that is wrong.
    """
    from domcli.presets import resolve
    from domcli.rundir import require_unused

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
                require_unused(runs_dir, full_name)
            planned.append(Planned(_preset_name(preset), resolve(preset, own, quick), full_name))
    return planned


def all_presets() -> list[str]:
    """Return the names of the settings of the paper, in the order of its tables."""
    from domcli.presets import available

    return [preset.name for preset in available()]


def _expand(wanted: list[str]) -> list[str]:
    """Return the presets that are meant, globs such as 'natural-*' replaced by the names they fit, each once."""
    found: list[str] = []
    for one in wanted:
        if GLOB_SIGNS.isdisjoint(one) or "/" in one or Path(one).is_file():
            found.append(one)
            continue
        fitting = [name for name in all_presets() if fnmatch.fnmatchcase(name, one)]
        if not fitting:
            raise SettingsError(f"no preset fits {one!r}; `domcli presets` lists them")
        found += fitting
    return list(dict.fromkeys(found))


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a list such as `0,1,2` or `0-4`. Raises SettingsError."""
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            found = range(int(first), int(last) + 1) if dash else range(int(first), int(first) + 1)
            if len(found) > MOST_SEEDS:
                raise SettingsError(f"--seeds {text}: {part} are {len(found):,} seeds; give {MOST_SEEDS:,} at the most")
            seeds += found
    except ValueError:
        seeds = []
    if not seeds:
        raise SettingsError(f"--seeds {text!r}: write whole numbers with commas between them, as in 0,1,2 or 0-4")
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise SettingsError(f"--seeds {text}: {twice[0]} is there more than once; a seed gives the same run every time")
    return seeds


def _preset_name(preset: str) -> str:
    return Path(preset).stem if preset.endswith(".toml") else Path(preset).name
