"""Counts with their nouns, `1 epoch`, `2,000 images`, and one of several: `a, b or c`."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """Return a count, thousands apart, with its noun, which gets an s unless it is one."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """Return the noun of so many."""
    return noun if count == 1 else f"{noun}s"


def either(names: Sequence[str]) -> str:
    """Return names of which one is meant: `a`, `a or b`, `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
