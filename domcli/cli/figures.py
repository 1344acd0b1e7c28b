"""How figures are written for people: percent with two decimals, losses in five characters, times, counts."""

from __future__ import annotations

from domcli import amounts

MISSING = "-"


def percent(fraction: float | None) -> str:
    """Return a fraction in percent, two decimals, without the sign."""
    return MISSING if fraction is None else f"{100 * fraction:.2f}"


def loss(value: float | None) -> str:
    """Return a loss with three decimals, fewer where it would grow over five characters."""
    if value is None:
        return MISSING
    decimals = 3 if value < 10 else 2 if value < 100 else 1
    return f"{value:.{decimals}f}"


def count(value: int | None) -> str:
    """Return a count with thousands apart."""
    return MISSING if value is None else f"{value:,}"


def rate(value: float | None) -> str:
    """Return a learning rate with three significant digits."""
    return MISSING if value is None else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Return a time as H:MM:SS, with days in front where there are any."""
    return MISSING if seconds is None else amounts.duration(seconds)


def seconds(value: float) -> str:
    """Return seconds: one decimal under 100, none above."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
