"""Counts with their nouns: `1 epoch`, `2,000 images`."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count, thousands apart, with its noun, which gets an s unless it is one."""
    return f"{count:,} {plural(count, noun)}"


def plural(count: int, noun: str) -> str:
    """Return the noun of so many."""
    return noun if count == 1 else f"{noun}s"
