"""One thing that was looked at, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """What was found, in a sentence; `details` holds its figures for programs (sizes in bytes)."""

    name: str
    status: Status
    text: str
    """One line, or several: what belongs to the first is on the others."""
    remedy: str | None = None
    """What to do about it, in one sentence."""
    details: Mapping[str, Any] = field(default_factory=dict)


def guarded(name: str, look: Callable[[], Check | Sequence[Check]]) -> list[Check]:
    """Return what `look` finds; an unexpected error in it is a problem of that name and keeps no other from view."""
    try:
        found = look()
        return [found] if isinstance(found, Check) else list(found)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        text = f"could not be checked: {type(error).__name__}{f': {reason}' if reason else ''}"
        return [Check(name, "problem", text, "if the sentence above does not say what to mend, report it as a bug")]


def gib(count: float) -> str:
    """Return a size of memory."""
    return f"{count / 2**30:.1f} GiB"


def gb(count: float) -> str:
    """Return a size of files."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def plural(count: int, word: str) -> str:
    """Return `1 word`, `2 words`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
