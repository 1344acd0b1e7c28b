"""Which runs are repetitions of each other, and what their group is called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from domcli.compare.groups import SEED, differing_keys, identity, make_groups, shown_value
from domcli.compare.records import Record, flatten
from domcli.naming import RunName, group_name
from domcli.rundir import RunDirectory
from domcli.runs import Run

NAMED_SETTINGS = 2
"""So many of the settings in which a group is unlike most others of its preset stand in its title."""


@dataclass(frozen=True)
class Group:
    """The group of a run, of all that differ from it in their seed alone: `settings` by section.key, without it."""

    key: str
    name: RunName
    """The run's own."""
    settings: Mapping[str, Any]


class Title(NamedTuple):
    """What a group is called: the name its runs were given, or their preset, and in `text` what tells it from others
    of that name."""

    text: str
    stem: str


class Origin(NamedTuple):
    """What environment.json says of how a run came to be."""

    created: float
    quick: bool


def origin_of(directory: RunDirectory) -> Origin:
    """Return when a run was created, seconds since 1970 (0 if nothing says so), and whether with `--quick`."""
    environment = directory.read_environment()
    created = environment.get("created")
    return Origin(created if isinstance(created, int | float) else 0.0, environment.get("quick") is True)


class Member(Protocol):
    """A run of a group."""

    @property
    def run(self) -> Run | None:
        """The run as it is now, None while it has not been read."""

    @property
    def group(self) -> Group | None:
        """The group of the run."""

    @property
    def origin(self) -> Origin:
        """How the run came to be."""


def counted(members: Iterable[Member]) -> frozenset[str]:
    """Return the names of the runs that count in the numbers of their groups: those that compare-runs would take.

    They have all of their epochs and, of several with the same seed, were created last (see make_groups).
    """
    complete: dict[str, list[tuple[Run, Member]]] = {}
    for one in members:
        if one.run is not None and one.group is not None and _is_complete(one.run):
            complete.setdefault(one.group.key, []).append((one.run, one))
    names: set[str] = set()
    for alike in complete.values():
        if len({_seed(run) for run, _ in alike}) < len(alike):
            records = [Record(run, {SEED: _seed(run)}, {"created": one.origin.created}) for run, one in alike]
            names |= {record.name for group in make_groups(records) for record in group.records}
        else:
            names |= {run.directory.name for run, _ in alike}
    return frozenset(names)


def all_quick(runs: Iterable[tuple[Group | None, Origin | None]]) -> frozenset[str]:
    """Return the keys of the groups all of whose runs are quick, as far as that is known of them."""
    quick: dict[str, bool] = {}
    for group, origin in runs:
        if group is not None and origin is not None:
            quick[group.key] = quick.get(group.key, True) and origin.quick
    return frozenset(key for key, all_of_them in quick.items() if all_of_them)


def _is_complete(run: Run) -> bool:
    train = run.settings.get("train")
    wanted = train.get("epochs") if isinstance(train, dict) else None
    return run.problem is None and run.status == "finished" and run.state.epochs_done == wanted


def _seed(run: Run) -> int | None:
    train = run.settings.get("train")
    seed = train.get("seed") if isinstance(train, dict) else None
    return seed if isinstance(seed, int) else None


def group_of(run: Run) -> Group:
    """Return the group of a run; one whose settings cannot be read is alone."""
    name = RunName(run.directory.name, run.preset, _seed(run))
    if not run.settings:
        return Group(run.directory.name, name, {})
    settings = identity(flatten(run.settings))
    return Group(repr(sorted(settings.items(), key=lambda item: item[0])), name, settings)


def titles(groups: Iterable[Group], quick: Collection[str] = ()) -> dict[str, Title]:
    """Return what the groups of these runs are called, by key: every title is there once.

    `quick` are keys of groups of quick runs.
    """
    members: dict[str, list[Group]] = {}
    for group in groups:
        members.setdefault(group.key, []).append(group)
    called = {key: group_name([one.name for one in alike]) for key, alike in members.items()}
    stems: dict[str, list[Group]] = {}
    for key, alike in members.items():
        stem = called[key]
        unnamed = alike[0].name.preset in (stem, None)  # a name that a person gave stays as it is
        stems.setdefault(f"{stem} (quick)" if key in quick and unnamed else stem, []).append(alike[0])
    named: dict[str, Title] = {}
    for stem, alike in stems.items():
        keys = differing_keys([group.settings for group in alike]) if len(alike) > 1 else []
        values = {key: [_shown(group.settings, key) for group in alike] for key in keys}
        usual = {key: Counter(found).most_common(1)[0][0] for key, found in values.items()}
        for place, group in enumerate(alike):
            unusual = [key for key in keys if values[key][place] != usual[key]][:NAMED_SETTINGS]
            title = ", ".join([stem, *(f"{key.partition('.')[2]} {values[key][place]}" for key in unusual)])
            number = 1 + sum(re.sub(r" #\d+$", "", other.text) == title for other in named.values())
            named[group.key] = Title(title if number == 1 else f"{title} #{number}", called[group.key])
    return named


def _shown(settings: Mapping[str, Any], key: str) -> str:
    if key in settings:
        return shown_value(settings[key])
    from domcli.settings import unwritten  # takes long to load

    return shown_value(unwritten().get(key))
