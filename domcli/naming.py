"""What runs are called, and what stands for all that differ in the seed alone: the name a person gave, or the preset.

A run without a name of its own is `PRESET-seedN`; one that was given a name is NAME, or `NAME-seedN` for several seeds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

UNNAMEABLE = re.compile(r"[^A-Za-z0-9._+=-]")
"""What the name of a run cannot hold."""

LONGEST_STEM = 150


def default_name(preset: str, seed: int, quick: bool) -> str:
    """Return `PRESET-seedN` (`PRESET-quick-seedN`), with what a run name cannot hold replaced by `-`."""
    return seed_name(f"{_nameable(preset)}-quick" if quick else _nameable(preset), seed)


def seed_name(name: str, seed: int) -> str:
    """Return the name of one of several runs that differ in the seed."""
    return f"{name}-seed{seed}"


class RunName(NamedTuple):
    """The name of a run with what tells whether a person chose it."""

    run: str
    preset: str | None
    seed: int | None
    quick: bool | None = None
    """Whether `--quick` made it, None where that is not known."""

    @property
    def given(self) -> str | None:
        """The name that a person gave it, without the seed that was added; None for a default name."""
        found = _parts(self.run, self.seed)
        if found is None:
            return self.run
        return None if self._is_default(found[0]) else found[0]

    def repetition(self, stem: str) -> str | None:
        """Return what tells it from others of a group called `stem`: `s0`, or `s0 #2` for the second of seed 0.

        None for a run with a name that says more: whoever gave it wants to find it again.
        """
        found = _parts(self.run, self.seed)
        if found is None or not (self._is_default(found[0]) or found[0] == stem):
            return None
        return f"s{self.seed} #{found[1]}" if found[1] else f"s{self.seed}"

    def _is_default(self, stem: str) -> bool:
        if not self.preset:
            return False
        usual = _nameable(self.preset)
        return stem == usual or (stem == f"{usual}-quick" and self.quick is not False)


def group_name(names: Sequence[RunName]) -> str:
    """Return what runs with the same settings but for the seed are called together.

    That is the name they were given, if it is one for all, else their preset, else what their names have in common.
    """
    given = [one.given for one in names]
    for found in (given, list(map(_numbered_by_hand, names)), [one.preset for one in names]):
        if found[0] and found.count(found[0]) == len(found):
            return found[0]
    return f"{names[0].run} and {len(names) - 1} more"


def _numbered_by_hand(name: RunName) -> str | None:
    """Return the given name without a seed at its end: try-0 and try-1, pgd_RE_2."""
    return name.given and re.sub(rf"[-_](?:seed)?{name.seed}$", "", name.given)


@lru_cache(4096)
def _nameable(preset: str) -> str:
    return UNNAMEABLE.sub("-", preset).lstrip("._+=-")[:LONGEST_STEM] or "run"


def _parts(run: str, seed: int | None) -> tuple[str, str] | None:
    """Return what stands before `-seedN` and the number after it, empty for none; None where no seed was added."""
    found = re.fullmatch(rf"(.+)-seed{seed}(?:-(\d+))?", run)
    return (found[1], found[2] or "") if found else None
