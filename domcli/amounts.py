"""How shares, times and dates are written for people, whatever numbers a damaged or an odd record holds."""

from __future__ import annotations

import time
from typing import NamedTuple

UNKNOWN = "?"
"""What stands for a time or a date that cannot be one."""

LONGEST_DAYS = 100_000
"""No run takes longer than this, nor do all in a queue."""

END_OF_TIME = 253_402_300_800
"""The year 10000 in seconds since 1970: dates from then on have no form."""


class Duration(NamedTuple):
    """A time in whole units."""

    days: int
    hours: int
    minutes: int
    seconds: int

    @property
    def all_hours(self) -> int:
        """Hours with those of the days."""
        return 24 * self.days + self.hours


def split(seconds: float) -> Duration | None:
    """Return a time, rounded to seconds; None for what cannot be one: negative, not finite, or longer than a life."""
    if not -0.5 <= seconds < LONGEST_DAYS * 86_400:
        return None
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return Duration(days, hour, minute, second)


def duration(seconds: float) -> str:
    """Return a time as H:MM:SS, with days in front where there are any."""
    found = split(seconds)
    if found is None:
        return UNKNOWN
    text = f"{found.hours}:{found.minutes:02}:{found.seconds:02}"
    return f"{found.days} d {text}" if found.days else text


def date(moment: float, form: str = "%Y-%m-%d %H:%M") -> str:
    """Return seconds since 1970 in local time, in a form of strftime."""
    if not 0 <= moment < END_OF_TIME:
        return UNKNOWN
    try:
        return time.strftime(form, time.localtime(moment))
    except (OverflowError, ValueError, OSError):  # a C library that knows no such year
        return UNKNOWN


def share(part: float, whole: float) -> str:
    """Return a part in whole percent; 0 and 100 only where it is nothing and all of it."""
    fraction = part / whole if whole else float("nan")
    if not 0 <= fraction <= 1:
        return UNKNOWN
    if 0 < fraction < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= fraction < 1 else f"{100 * fraction + 0.0:.0f} %"
