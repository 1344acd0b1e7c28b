"""A run as the panels show it."""

from __future__ import annotations

from dataclasses import dataclass

from domcli.overfitting import Finding
from domcli.runs import Run


@dataclass(frozen=True)
class Shown:
    """A marked run: `run` holds all its epochs; `colour` is its index in the palette, the same in every chart."""

    run: Run
    colour: int
    label: str
    """What it is called in legends: short, different for each run shown."""
    group: str
    """The setting it belongs to: the same for all its seeds."""
    seed: int | None = None
    findings: tuple[Finding, ...] = ()
    paper: float | None = None
    """The paper's best accuracy for this setting as a fraction: PGD-20, or natural for natural training."""
    repeats: bool = False
    """Whether another run that is shown has its setting and seed, and stands for both in a mean of seeds."""
