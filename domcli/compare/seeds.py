"""Groups with too few seeds for statistics, and the command that runs more of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from domcli.compare.groups import Group, identity, run_name
from domcli.compare.records import Record, flatten, read_record
from domcli.errors import DomcliError, RunDirectoryError
from domcli.finding import list_runs
from domcli.naming import seed_name
from domcli.origin import Origin, origin_of
from domcli.rundir import RunDirectory
from domcli.runs import Run

ENOUGH = 3
"""Seeds of a group, as in the paper."""

SHOWN = 3
"""So many groups are told how to get more seeds."""


def single_seeds(groups: Sequence[Group], at_epoch: int | None = None) -> Iterator[str]:
    """Say which groups have one seed, what that forbids, and which runs to add or to run."""
    single = [group for group in groups if group.n == 1]
    compared = {record.run.directory.path.resolve() for group in groups for record in group.members}
    around: dict[Path, list[Record]] = {}
    for group in single[:SHOWN]:
        folder = group.records[0].run.directory.path.parent
        if folder not in around:
            others = (run for run in list_runs(folder) if run.path.resolve() not in compared)
            around[folder] = [record for record in map(_settings_alone, others) if record.settings]
        siblings = [record for record in around[folder] if _is_sibling(record, group)]
        advice = "; ".join(_advice(group, siblings, at_epoch))
        yield f"{group.name}: a single seed, so no standard deviation and no test{f'; {advice}' if advice else '.'}"
    if len(single) > SHOWN:
        count = len(single) - SHOWN
        yield f"{count} more {'group has' if count == 1 else 'groups have'} a single seed."


def more_command(group: Group, siblings: Sequence[Record] = (), lacking: int | None = None) -> str | None:
    """Return the command that brings a group to three seeds, or that runs `lacking` more.

    `siblings` are runs with the same settings that are not compared: their seeds are taken. None where it is not known
    how the group's runs were launched.
    """
    record = group.records[0]
    origin = origin_of(record.environment) or _older_origin(record, group)
    if origin is None:
        return None
    quick = ["--quick"] if origin.quick else []
    settings = (text for text in origin.overrides if not text.startswith("train.seed"))
    changed = [part for text in settings for part in ("--set", _from_copies(text, record))]
    folder = ["--runs-dir", str(record.run.directory.path.parent)] if origin.runs_dir else []
    seeds = _free_seeds([*group.members, *siblings], ENOUGH - group.n if lacking is None else lacking)
    given = run_name(record).given
    name = [] if given is None else ["--name", seed_name(given, seeds[0]) if len(seeds) == 1 else given]
    listed = ",".join(map(str, seeds))
    return shlex.join(["domcli", "run", origin.preset, *quick, *changed, *name, "--seeds", listed, *folder])


def _from_copies(override: str, record: Record) -> str:
    """Return an override as it was given; extensions are those that the run keeps, which cannot have changed since."""
    if not override.startswith("extensions"):
        return override
    copies = sorted(record.run.directory.extensions.glob("*.py"))
    return f"extensions={json.dumps([str(copy) for copy in copies])}"


def _advice(group: Group, siblings: Sequence[Record], at_epoch: int | None) -> Iterator[str]:
    """Yield the runs to add to the comparison, one for each other seed, and the command for those that lack then."""
    others = {one.seed: one.name for one in siblings if read_record(one.run.directory, at_epoch).shortfall is None}
    others.pop(group.records[0].seed, None)
    there = [name for _, name in sorted(others.items(), key=lambda item: item[0] or 0)]
    if there:
        yield f"runs of it with other seeds exist, add them to the comparison: {', '.join(there[: ENOUGH - group.n])}"
    lacking = ENOUGH - group.n - len(there)
    command = more_command(group, siblings, lacking) if lacking > 0 else None
    if command is not None:
        yield f"run more of it with: {command}"


def _settings_alone(directory: RunDirectory) -> Record:
    """Return a run of which nothing but the settings has been read."""
    try:
        return Record(Run(directory), flatten(directory.read_settings()), {})
    except RunDirectoryError:
        return Record(Run(directory), {}, {})


def _is_sibling(record: Record, group: Group) -> bool:
    """Tell whether a run would be in the group."""
    return identity(record.settings) == group.settings


def _older_origin(record: Record, group: Group) -> Origin | None:
    """Return what an older run was made of, which kept no origin: its preset alone, if that gives its settings."""
    from domcli.presets import resolve

    preset, quick = record.environment.get("preset"), record.environment.get("quick") is True
    if not isinstance(preset, str) or not record.environment.get("command_line"):
        return None
    try:
        alone = identity(flatten(resolve(preset, quick=quick).to_dict()))
    except DomcliError:
        return None
    if alone != group.settings:
        return None
    return Origin(command=(), presets=(preset,), preset=preset, quick=quick)


def _free_seeds(records: Sequence[Record], count: int) -> list[int]:
    """Return the lowest seeds that these runs have not; those of runs that do not count are taken, too."""
    taken = {record.seed for record in records}
    free = (seed for seed in range(len(taken) + count) if seed not in taken)
    return [next(free) for _ in range(count)]
