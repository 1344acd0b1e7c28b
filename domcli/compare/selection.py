"""Which runs are meant: names, beginnings of names, globs, run directories and folders of them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from pathlib import Path

from domcli import files
from domcli.errors import RunDirectoryError
from domcli.finding import list_runs
from domcli.printable import quoted
from domcli.rundir import RunDirectory

WILDCARDS = "*?["
SHOWN = 5


def select(runs_dir: Path, patterns: Iterable[str]) -> list[RunDirectory]:
    """Return the runs that the patterns mean, each once, in the order of the patterns, and by name within one.

    That order does not depend on when runs were written: a copied folder compares as the original does. A pattern is
    the name of a run in `runs_dir`, the beginning of one or more names, a glob over the names (over paths when it has
    a /), the path of a run directory, or the path of a folder of runs. Raises RunDirectoryError for a pattern that
    means none.
    """
    known = _by_name(list_runs(runs_dir))
    chosen: dict[Path, RunDirectory] = {}
    for pattern in patterns:
        found = _matches(pattern, known)
        if not found:
            raise RunDirectoryError(_nothing(pattern, runs_dir, known))
        for run in found:
            chosen.setdefault(run.path.resolve(), RunDirectory(run.path.absolute()))
    return list(chosen.values())


def _matches(pattern: str, known: list[RunDirectory]) -> list[RunDirectory]:
    if not pattern:
        return []
    exact = [run for run in known if run.name == pattern]
    if exact:
        return exact
    if any(mark in pattern for mark in WILDCARDS):
        if os.sep in pattern:
            return [run for path in _expand(files.at_home(pattern)) for run in _at(path)]
        return [run for run in known if fnmatch.fnmatchcase(run.name, pattern)]
    return [run for run in known if run.name.startswith(pattern)] or _at(files.at_home(pattern))


def _expand(pattern: Path) -> list[Path]:
    try:
        return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except (ValueError, OSError):  # `**` in the middle of a name, a folder that may not be listed
        return []


def _at(path: Path) -> list[RunDirectory]:
    """Return the run at a path, or those of the folder at it."""
    run = RunDirectory(path.absolute())
    if files.is_regular(run.settings) or files.is_regular(run.events):
        return [run]
    return _by_name(list_runs(run.path)) if files.is_folder(run.path) else []


def _by_name(runs: list[RunDirectory]) -> list[RunDirectory]:
    return sorted(runs, key=lambda run: run.name)


def _nothing(pattern: str, runs_dir: Path, known: list[RunDirectory]) -> str:
    if not pattern:
        return "the name of a run is empty: give a name, the beginning of one, a glob, or a path"
    if not known:
        return (
            f"no run fits {quoted(pattern)}: there are no runs in {runs_dir}; choose another --runs-dir, or give a path"
        )
    names = ", ".join(run.name for run in known[:SHOWN])
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"no run fits {quoted(pattern)}; {runs_dir} has {names}{more}"
