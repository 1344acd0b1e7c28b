"""Curves of a comparison: a small chart in the terminal, and a figure as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from domcli.charts import Style
    from domcli.compare import Comparison
    from domcli.compare.curves import Curve

PANELS = {
    "accuracy": ("natural", "pgd", "one-step"),
    "loss": ("train-loss", "natural-loss", "pgd-loss"),
    "patterns": ("high-confidence", "transformed"),
}
NAMES = {"pgd": "PGD", "train-loss": "training", "natural-loss": "natural test", "pgd-loss": "PGD test"}
TITLES = {"accuracy": "test accuracy, %", "loss": "loss", "patterns": "memorized patterns"}
COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")
HEIGHT = 14


def terminal_chart(comparison: Comparison, width: int) -> RenderableType | None:
    """Return the headline accuracy of the groups over the epochs, mean and band; None if there is no curve."""
    import numpy as np
    from rich.text import Text

    from domcli.charts import Chart, Series, draw

    curves = _headline(comparison)
    if not curves:
        return None
    series = []
    for number, curve in enumerate(curves):
        mean = np.array(curve.mean)
        band = None if curve.std is None else (mean - np.array(curve.std), mean + np.array(curve.std))
        series.append(Series(curve.group, np.array(curve.epochs), mean, colour=number, band=band))
    chart = Chart(tuple(series), title=f"{curves[0].quantity.title}, % (mean and standard deviation)")
    text = Text()
    for row in draw(chart, width, HEIGHT).rows:
        for part, style in row:
            text.append(part, style=_rich(style))
        text.append("\n")
    return text


def plot_file(comparison: Comparison, path: Path) -> None:
    """Draw accuracies, losses and memorized patterns of the groups to a PNG, SVG or PDF file.

    Raises PlotError for another kind of file, without a curve or without matplotlib, StorageError if it cannot be
    written.
    """
    from domcli.compare.curves import QUANTITIES, curve
    from domcli.exchange.plot import Curve as Drawn
    from domcli.exchange.plot import Panel, plot_groups

    quantities = {quantity.name: quantity for quantity in QUANTITIES}
    panels = []
    for panel, names in PANELS.items():
        measures: dict[str, dict[str, Drawn]] = {}
        for name in names:
            found = [(group.name, curve(group, quantities[name])) for group in comparison.groups]
            curves = {group: Drawn(one.epochs, one.mean, one.std) for group, one in found if one is not None}
            if curves:
                measures[NAMES.get(name, name)] = curves
        if measures:
            panels.append(Panel(TITLES[panel], measures))
    plot_groups(path, panels, source=comparison.source)


def _headline(comparison: Comparison) -> list[Curve]:
    """Return the curves of PGD accuracy where any group has it, else of natural accuracy."""
    from domcli.compare.curves import QUANTITIES, curve

    quantities = {quantity.name: quantity for quantity in QUANTITIES}
    for name in ("pgd", "natural"):
        found = [curve(group, quantities[name]) for group in comparison.groups]
        if any(found):
            return [one for one in found if one is not None]
    return []


def _rich(style: Style) -> str:
    words = [COLOURS[style.colour % len(COLOURS)]] if isinstance(style.colour, int) else []
    if style.faint or (isinstance(style.colour, str) and style.colour in ("axis", "mark", "empty")):
        words.append("dim")
    return " ".join([*words, "bold"] if style.bold else words)
