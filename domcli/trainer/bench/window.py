"""How fast trainers are that train at the same time: from the times at which they had done their steps; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

Marks = Sequence[float]
"""When a trainer had done each of its steps, in seconds on the clock that all processes of the machine share."""


class NotTogether(Exception):
    """There was no time at which all of them trained."""


def rates(trainers: Sequence[Marks], parts: int) -> tuple[float, list[list[float]]]:
    """Return the seconds in which all trained, and for each of `parts` of that time the steps/s of each trainer.

    The time begins when each has done its first step and ends with the last step of who ends first, so that nobody has
    the device for himself; steps on its edges count in part. Raises NotTogether.
    """
    start = max((marks[0] for marks in trainers if marks), default=0.0)
    end = min((marks[-1] for marks in trainers if marks), default=0.0)
    if end <= start or not all(trainers):
        raise NotTogether("the trainers did not train at the same time; measure for longer, without --quick")
    seconds = (end - start) / parts
    edges = [start + part * seconds for part in range(parts)] + [end]
    done = [[_steps_by(marks, edge) for edge in edges] for marks in trainers]
    return end - start, [[(one[part + 1] - one[part]) / seconds for one in done] for part in range(parts)]


def _steps_by(marks: Marks, time: float) -> float:
    """Return how many steps were done at a time not before the first, a begun one in proportion."""
    whole = bisect_right(marks, time)
    if whole == len(marks):
        return float(whole)
    return whole + (time - marks[whole - 1]) / (marks[whole] - marks[whole - 1])
