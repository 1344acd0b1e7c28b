"""What a run was made of, as its command told: presets, overrides, seeds; kept as data in environment.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

KEY = "origin"
"""Under which it stands there."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, of which the run is a part."""

    command: tuple[str, ...]
    """The command that was given, or that does the same, word by word."""
    presets: tuple[str, ...]
    """The presets as they were typed: names, globs, paths of files."""
    preset: str
    """That of this run: a name, or the path of its file."""
    overrides: tuple[str, ...] = ()
    """SECTION.KEY=VALUE, as they were typed."""
    quick: bool = False
    seeds: tuple[int, ...] | None = None
    """The seeds of all runs; None for that of the preset."""
    name: str | None = None
    """The name that was given; None for the usual one."""
    runs_dir: str | None = None
    """The folder that was given; None for the usual one."""

    def table(self) -> dict[str, Any]:
        """Return it for a JSON file; bytes that are not UTF-8 become escapes there."""
        told: dict[str, Any] = _valid(msgspec.to_builtins(self))
        return told


def origin_of(environment: Mapping[str, Any]) -> Origin | None:
    """Return what environment.json says of it; None where it says nothing: of older runs, and of imported ones."""
    return read(environment.get(KEY))


def read(content: object) -> Origin | None:
    """Return the origin that a table tells of; None if it is damaged, or none."""
    try:
        return msgspec.convert(content, Origin)
    except msgspec.ValidationError:
        return None


def _valid(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _valid(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(one) for one in value]
    return value.encode(errors="surrogateescape").decode(errors="backslashreplace") if isinstance(value, str) else value
