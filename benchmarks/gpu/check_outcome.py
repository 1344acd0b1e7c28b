"""A stage of a check, how it ended, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "failed", "over its limit", "no time left", "stopped", "not begun"]
"""Those with "no time left" and "stopped" were cut off, by the end of the budget or of the check."""
DONE: tuple[State, ...] = ("ok", "failed", "over its limit")
WRONG: tuple[State, ...] = ("failed", "over its limit")
LEAST_SECONDS = 8.0
"""A stage does not begin with less time left: loading torch alone takes half of it."""


@dataclass(frozen=True)
class Stage:
    """A part of the check; `limit` in seconds."""

    name: str
    limit: float
    command: tuple[str, ...]
    about: str
    advice: str
    """What to do if it fails, in a sentence."""
    essential: bool = True
    """Says whether the trainer is right; the others measure how fast it is."""
    alone: bool = False
    """Nothing else runs meanwhile: it measures times, or decides."""
    decides: bool = False
    """If it fails, no other stage is begun."""


@dataclass
class Outcome:
    """How a stage ended, and what it found."""

    stage: Stage
    state: State = "not begun"
    seconds: float = 0.0
    limit: float = 0.0
    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Tell whether it came to an end of its own or to its limit."""
        return self.state in DONE

    def content(self) -> dict[str, Any]:
        """Return its entry in results.json."""
        about = {"state": self.state, "seconds": round(self.seconds, 1), "limit": round(self.limit, 1)}
        parts = {"problems": self.problems, "lines": self.lines, "found": self.found}
        return {**about, "essential": self.stage.essential, **parts}


@dataclass(frozen=True)
class Plan:
    """What a check is to do; everything that it writes for good is in `output`. `budget` in seconds."""

    stages: Sequence[Stage]
    output: Path
    about: Mapping[str, Any]
    budget: float
    others: Sequence[Stage] = ()
    """Stages that there are besides, which were not asked for."""
    again: Callable[[Sequence[str], float | None], str] = lambda names, budget: f"check.sh {budget} {','.join(names)}"
    """The command that does the stages with these names, in so many seconds if not in those of this check."""

    @property
    def tiny(self) -> bool:
        """Tell whether it only tries the program out."""
        return bool(self.about.get("size") == "tiny")


def wrong(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the names of the stages that say something against the trainer."""
    return [one.stage.name for one in outcomes if one.state in WRONG]


def unknown(outcomes: Iterable[Outcome], others: Iterable[Stage] = ()) -> list[str]:
    """Return the names of the stages that were not done, or not asked for, and that leave open whether it is right."""
    stages = [*(one.stage for one in outcomes if not one.done), *others]
    return [stage.name for stage in stages if stage.essential]


def right(outcomes: Sequence[Outcome], others: Iterable[Stage]) -> bool | None:
    """Tell whether the trainer is right; None if that is not known."""
    if wrong(outcomes):
        return False
    return None if unknown(outcomes, others) else True


def line_of(outcome: Outcome) -> str:
    """Return the line that is shown when a stage has ended."""
    said = outcome.problems or outcome.lines or [""]
    return f"{outcome.stage.name:9} {outcome.state:14} {outcome.seconds:5.0f} s  {said[0]}".rstrip()
