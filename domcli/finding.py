"""Runs found: by name, the beginning of one, a glob or a path; those of a folder, and those in the queue."""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from domcli import files
from domcli.errors import RunDirectoryError
from domcli.plural import either
from domcli.printable import quoted
from domcli.rundir import RunDirectory


def find(runs_dir: Path, wanted: str) -> RunDirectory:
    """Return the run with this name, this unambiguous beginning of a name, or this path.

    Raises RunDirectoryError naming what is there when nothing, or more than one run, fits.
    """
    return _find(runs_dir, wanted, None, "give more of the name")


def select(runs_dir: Path, patterns: Sequence[str]) -> list[RunDirectory]:
    """Return the runs that are meant, in the order of the patterns and each once.

    A pattern is what `find` takes, or a glob such as `pgd-*` for all runs whose names fit it. Raises RunDirectoryError
    for a pattern that nothing fits, and for a beginning that several names have.
    """
    runs = list_runs(runs_dir)
    chosen: dict[Path, RunDirectory] = {}
    for pattern in patterns:
        if _is_glob(pattern) and not any(run.name == pattern for run in runs):
            meant = _fitting(runs_dir, pattern, runs)
        else:
            meant = [
                _find(runs_dir, pattern, runs, f"give more of the name, or {quoted(pattern + '*')} for all of them")
            ]
        for run in meant:
            chosen.setdefault(_located(run.path), run)
    return list(chosen.values())


def list_runs(runs_dir: Path) -> list[RunDirectory]:
    """Return the runs of a folder, oldest first; other folders are left out, and so is what is not complete yet."""
    return sorted(_folders(runs_dir), key=lambda run: (_created(run), run.name))


def with_tickets(runs_dir: Path) -> list[RunDirectory]:
    """Return the runs in whose directory a ticket lies. Asked several times a second, among hundreds of runs."""
    name = RunDirectory(runs_dir).ticket.name
    try:
        with os.scandir(runs_dir) as entries:
            found = [entry.path for entry in entries if entry.name[0] != "." and os.path.exists(f"{entry.path}/{name}")]  # noqa: PTH110
    except OSError:
        return []
    return [RunDirectory(Path(path)) for path in found]


def queue_places(runs_dir: Path) -> dict[str, int]:
    """Return the place in the queue, from 1, of each run that waits, by name: every user of a machine has a queue."""
    found = [(run.name, run.waiting_ticket()) for run in with_tickets(runs_dir)]
    waiting = [(name, ticket) for name, ticket in found if ticket is not None]
    places: dict[str, int] = {}
    lengths: dict[tuple[str, int], int] = {}
    for name, ticket in sorted(waiting, key=lambda entry: entry[1].order):
        queue = (ticket.host, ticket.owner)
        places[name] = lengths[queue] = lengths.get(queue, 0) + 1
    return places


def _find(runs_dir: Path, wanted: str, runs: list[RunDirectory] | None, advice: str) -> RunDirectory:
    """Find a run (see `find`), among `runs` if they have been listed already; `advice` is for when several fit."""
    if not wanted:
        raise RunDirectoryError("the name of the run is empty: give a name, the beginning of one, or a path")
    direct = Path(wanted)
    if files.is_regular(direct / "settings.toml") and (os.sep in wanted or not files.is_folder(runs_dir / wanted)):
        return RunDirectory(_located(direct))
    runs = list_runs(runs_dir) if runs is None else runs
    matches = [run for run in runs if run.name == wanted] or [run for run in runs if run.name.startswith(wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunDirectoryError(f"{quoted(wanted)} fits several runs: {_some(matches)}; {advice}")
    nearest = difflib.get_close_matches(wanted, [run.name for run in runs], 3, 0.6)
    hint = f"did you mean {either(nearest)}?" if nearest else _known(runs)
    if _is_glob(wanted):
        hint = "a single run is wanted here, by its name, the beginning of one, or a path"
    raise RunDirectoryError(f"no run named {quoted(wanted)} in {runs_dir}; {hint}")


def _fitting(runs_dir: Path, glob: str, runs: list[RunDirectory]) -> list[RunDirectory]:
    """Return the runs that a glob means; with a folder in front, which no shell has expanded, those of that folder."""
    folder, slash, names = glob.rstrip(os.sep).rpartition(os.sep)
    if slash:
        runs_dir, runs = Path(folder or os.sep), list_runs(Path(folder or os.sep))
    fitting = [run for run in runs if fnmatch.fnmatchcase(run.name, names)]
    if not fitting:
        raise RunDirectoryError(f"no run in {runs_dir} fits {quoted(glob)}; {_known(runs)}")
    return fitting


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def _located(path: Path) -> Path:
    """Return where a directory lies, which for a link is where the link lies."""
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def _folders(runs_dir: Path) -> Iterator[RunDirectory]:
    try:
        with os.scandir(runs_dir) as entries:
            for entry in entries:
                run = RunDirectory(Path(entry.path))
                if not entry.name.startswith(".") and (files.is_regular(run.settings) or files.is_regular(run.events)):
                    yield run
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirectoryError(f"cannot list {runs_dir}: {error.strerror}") from error


def _created(run: RunDirectory) -> float:
    with contextlib.suppress(OSError):
        return run.settings.stat().st_mtime
    return 0.0


def _known(runs: list[RunDirectory]) -> str:
    return f"it has {_some(runs)}" if runs else "there are no runs"


def _some(runs: list[RunDirectory], most: int = 5) -> str:
    names = ", ".join(run.name for run in runs[:most])
    return f"{names} and {len(runs) - most} more" if len(runs) > most else names
