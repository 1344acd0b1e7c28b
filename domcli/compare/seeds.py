"""Groups with too few seeds for statistics, and the command that runs more of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from domcli.compare.groups import Group
from domcli.compare.records import Record

ENOUGH = 3
"""Seeds of a group, as in the paper."""

SHOWN = 3
"""So many groups are told how to get more seeds."""


def single_seeds(groups: Sequence[Group]) -> Iterator[str]:
    """Say which groups have one seed, what that forbids, and what to run."""
    single = [group for group in groups if group.n == 1]
    for group in single[:SHOWN]:
        command = more_command(group)
        yield (
            f"{group.name} has a single seed, so no standard deviation and no test"
            f"{f'; run more of it with: {command}' if command else '.'}"
        )
    if len(single) > SHOWN:
        count = len(single) - SHOWN
        yield f"{count} more {'group has' if count == 1 else 'groups have'} a single seed."


def more_command(group: Group) -> str | None:
    """Return the command that brings a group to three seeds; None where it is not known how its runs were launched."""
    record = group.records[0]
    written = record.environment.get("command_line")
    preset = record.environment.get("preset")
    if not isinstance(written, str) or not isinstance(preset, str):
        return None
    try:
        words = shlex.split(written)
    except ValueError:
        return None
    file = next((word for word in words if word.endswith(".toml") and Path(word).stem == preset), None)
    quick = ["--quick"] if record.environment.get("quick") is True else []
    settings = (text for text in _values(words, "--set") if not text.startswith("train.seed"))
    changed = [part for text in settings for part in ("--set", text)]
    folder = ["--runs-dir", str(record.run.directory.path.parent)] if any(_values(words, "--runs-dir")) else []
    return shlex.join(
        ["domcli", "run", file or preset, *quick, *changed, "--seeds", _free_seeds(group), *folder],
    )


def _values(words: Sequence[str], wanted: str) -> Iterator[str]:
    """Yield what was given to an option, as `--set VALUE` or `--set=VALUE`."""
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == wanted:
            yield value if equals or place + 1 == len(words) else words[place + 1]


def _free_seeds(group: Group) -> str:
    """Return the lowest seeds that the group has not, as many as it lacks; of runs that do not count they are taken."""
    taken = {record.seed for record in _members(group)}
    free = (seed for seed in range(len(taken) + ENOUGH) if seed not in taken)
    return ",".join(str(next(free)) for _ in range(ENOUGH - group.n))


def _members(group: Group) -> Iterator[Record]:
    yield from group.records
    yield from (one.record for one in group.left_out)
