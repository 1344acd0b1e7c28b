"""`--set section.key=value`: how a value is read, which depends on what the setting holds."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from domcli import toml
from domcli.errors import SettingsError

EXTENSIONS = "extensions"
"""The one setting that stands in no section: a TOML list of paths, or paths with commas between them."""


def parse(text: str) -> tuple[str, str, Any]:
    """Return section (empty for EXTENSIONS), key and value of an override. Raises SettingsError if it is none.

    A setting that holds text, or one of several words, takes the value as it is typed; only quotes around all of it are
    taken away. Elsewhere the value is a TOML value or a number as other programs write it (`.1`, `03`, `True`). What is
    neither stays text, for the settings' own check to refuse.
    """
    name, equals, value = text.partition("=")
    if name.strip() == EXTENSIONS and value.strip():
        found = _toml(value)
        return "", EXTENSIONS, found if isinstance(found, list) else [part.strip() for part in value.split(",")]
    section, _, key = (part.strip() for part in name.partition("."))
    if not (equals and section and key) or "." in key:
        raise SettingsError(f"--set {text}: write section.key=value, for example --set train.epochs=100")
    return section, key, _value(value.strip(), set(_kinds_of(section, key)))


def _value(text: str, kinds: set[Any]) -> Any:
    parsed = _toml(text)
    if str in kinds:
        return parsed if isinstance(parsed, str) else text
    if parsed is not None:
        return parsed
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if tuple in kinds and text:
        inner = text[1:-1] if text[0] == "[" and text[-1] == "]" else text
        return [_number(part.strip()) for part in inner.split(",")]
    return _number(text)


def _toml(text: str) -> Any:
    """Return the TOML value that a text is, None if it is none."""
    with contextlib.suppress(ValueError, RecursionError):
        parsed = toml.tables_of(f"value = {text}")
        if len(parsed) == 1:
            return parsed["value"]
    return None


def _number(text: str) -> int | float | str:
    """Return the number that a text is, else the text."""
    if text.isascii():
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(text)
    return text


def _kinds_of(section: str, key: str) -> Iterator[Any]:
    """Return what a setting may hold: str, bool, int, float, tuple; nothing for one that does not exist."""
    from domcli.settings import Settings

    table = Settings.model_fields.get(section)
    field = getattr(table.annotation, "model_fields", {}).get(key) if table is not None else None
    if field is not None:
        yield from _kinds(field.annotation)


def _kinds(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for one in get_args(annotation):
            yield from _kinds(one)
    elif origin is Literal:
        yield from map(type, get_args(annotation))
    else:
        yield origin or annotation
