"""When the learning rate of the piecewise schedule drops, for the trainer and for everything that draws it."""

from __future__ import annotations

DROPS = ((1 / 2, 10), (3 / 4, 100))
"""After which share of the epochs it is the maximum divided by what; up to that moment, inclusive, it is as before."""
