"""TOML, and how deep a document may be that others may have written or damaged."""

from __future__ import annotations

from typing import Any

import tomli

DEEPEST = 32
"""Levels of a document that may hold anything: none that domcli writes has more than five."""
TOO_DEEP = f"nested more than {DEEPEST} levels deep"
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
    try:
        tables = tomli.loads(text)
    except tomli.TOMLDecodeError:
        raise
    except ValueError as error:  # Python reads no decimal number of so many digits
        raise ValueError(f"it has a whole number of more than {BITS} bits") from error
    except RecursionError as error:
        raise RecursionError(TOO_DEEP) from error
    refuse_deep(tables)
    refuse_large(tables)
    return tables


def refuse_large(content: Any, keys: tuple[str, ...] = ()) -> None:
    """Raise NumberTooLarge for content with a whole number that TOML cannot hold; `keys` is where it stands."""
    if isinstance(content, dict):
        for key, inner in content.items():
            refuse_large(inner, (*keys, key))
    elif isinstance(content, list):
        for inner in content:
            refuse_large(inner, keys)
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
    raise RecursionError(TOO_DEEP)
