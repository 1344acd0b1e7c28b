"""What documents may hold that others may have written or damaged: how deep, how large numbers, and which types."""

from __future__ import annotations

from typing import Any

import tomli

from domcli.bounds import LAST_SECOND

DEEPEST = 32
"""Levels of a document that may hold anything: none that domcli writes has more than five."""
TIMES = ("created",)
WORDS = (
    *("preset", "command_line", "hostname", "platform", "python", "domcli", "torch", "torchvision", "git_commit"),
    *("device", "device_name", "precision", "network", "kernels", "imported_from"),
)
YES_OR_NO = ("quick", "plain")
NUMBERS = ("threads",)
"""Entries of environment.json by their type; the others are shown as they are."""
BITS = 64
"""Of a whole number in TOML."""


class NumberTooLarge(ValueError):
    """A whole number of more bits than TOML has; `key` is where it stands, as `section.key`."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is a whole number of more than {BITS} bits")
        self.key = key


def toml(text: str) -> dict[str, Any]:
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


def environment(content: Any) -> dict[str, Any]:
    """Return the entries of environment.json that have the type that they must have."""
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if _is_as_it_must_be(key, value)}


def _is_as_it_must_be(key: str, value: Any) -> bool:
    if key in TIMES:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LAST_SECOND
    if key in WORDS:
        return isinstance(value, str) or value is None
    if key in YES_OR_NO:
        return isinstance(value, bool)
    return isinstance(value, int) if key in NUMBERS else True
