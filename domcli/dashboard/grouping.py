"""Which runs are repetitions of each other, and what their group is called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domcli.compare.groups import differing_keys, identity, shown_value
from domcli.compare.records import flatten
from domcli.runs import Run

NAMED_SETTINGS = 2
"""So many of the settings in which a group is unlike most others of its preset stand in its title."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone: `settings` by section.key, without the seed."""

    key: str
    stem: str
    settings: Mapping[str, Any]


def group_of(run: Run) -> Group:
    """Return the group of a run; one whose settings cannot be read is alone."""
    if not run.settings:
        return Group(run.directory.name, run.directory.name, {})
    settings = identity(flatten(run.settings))
    stem = run.preset or re.sub(r"-seed\d+(-\d+)?$", "", run.directory.name)
    return Group(repr(sorted(settings.items(), key=lambda item: item[0])), stem, settings)


def titles(groups: Sequence[Group]) -> dict[str, str]:
    """Return what each group is called, by key: every title is there once."""
    by_key = {group.key: group for group in groups}
    stems: dict[str, list[Group]] = {}
    for group in by_key.values():
        stems.setdefault(group.stem, []).append(group)
    named: dict[str, str] = {}
    for stem, alike in stems.items():
        keys = differing_keys([group.settings for group in alike]) if len(alike) > 1 else []
        values = {key: [shown_value(group.settings.get(key)) for group in alike] for key in keys}
        usual = {key: Counter(found).most_common(1)[0][0] for key, found in values.items()}
        for place, group in enumerate(alike):
            unusual = [key for key in keys if values[key][place] != usual[key]][:NAMED_SETTINGS]
            title = ", ".join([stem, *(f"{key.partition('.')[2]} {values[key][place]}" for key in unusual)])
            number = 1 + sum(re.sub(r" #\d+$", "", other) == title for other in named.values())
            named[group.key] = title if number == 1 else f"{title} #{number}"
    return named
