"""TOML, and how deep a document may be that others may have written or damaged."""

from __future__ import annotations

from typing import Any

import tomli

DEEPEST = 32
"""Levels of a document that may hold anything: none that domcli writes has more than five."""
BITS = 64
"""Of a whole number in TOML."""


class NumberTooLarge(ValueError):
    """A whole number of more bits than TOML has; `key` is where it stands, as `section.key`."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is a whole number of more than {BITS} bits")
        self.key = key


def tables_of(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text. Raises ValueError where it is none, RecursionError where it is nested deep.

    Numbers beyond 64 bits are refused: TOML has none, and those of many hexadecimal digits Python cannot write.
    """
    tables = tomli.loads(text)
    refuse_deep(tables)
    _refuse_large(tables, ())
    return tables


def _refuse_large(content: Any, keys: tuple[str, ...]) -> None:
    if isinstance(content, dict):
        for key, inner in content.items():
            _refuse_large(inner, (*keys, key))
    elif isinstance(content, list):
        for inner in content:
            _refuse_large(inner, keys)
    elif isinstance(content, int) and not -(2 ** (BITS - 1)) <= content < 2 ** (BITS - 1):
        raise NumberTooLarge(".".join(keys))


def refuse_deep(content: Any) -> None:
    """Raise RecursionError for content that is nested deeper than what goes through it can follow."""
    level = [content]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise RecursionError(f"nested more than {DEEPEST} levels deep")
