"""What the documents of a run may hold, of which types: others may have written or damaged them."""

from __future__ import annotations

from typing import Any

from domcli import origin
from domcli.bounds import LAST_SECOND

TIMES = ("created",)
WORDS = (
    *("preset", "command_line", "hostname", "platform", "python", "domcli", "torch", "torchvision", "git_commit"),
    *("device", "device_name", "precision", "network", "kernels", "imported_from"),
)
YES_OR_NO = ("quick", "plain")
NUMBERS = ("threads",)
"""Entries of environment.json by their type; the others are shown as they are."""


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
    if key == origin.KEY:
        return origin.read(value) is not None
    return isinstance(value, int) if key in NUMBERS else True
