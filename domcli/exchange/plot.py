"""How figures look and how they are written: matplotlib, an optional package, is loaded here and nowhere else.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; sizes are for a column of a paper.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domcli import __version__
from domcli.errors import DomcliError
from domcli.exchange.files import write_file
from domcli.printable import printable, printable_line

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FORMATS = ("png", "svg", "pdf")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
LINE_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))
PANEL = (3.4, 2.5)
"""Width and height of one panel, in inches: one column of a two-column paper."""

LEGEND_ROW = 0.16
"""Height of a row of the legend, in inches."""

THOUSAND = 1000

BAND = "band: \u00b1 1 standard deviation"

STYLE: Mapping[str, Any] = {
    "figure.dpi": 100,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.dpi": 300,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.3,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "domcli",
    "text.parse_math": False,
}
"""Fonts stay text in PDF and SVG, so that journals accept them and readers can search them."""


class PlotError(DomcliError):
    """A figure cannot be drawn: matplotlib is missing, or the file's format is not one of FORMATS."""


@dataclass(frozen=True)
class Curve:
    """Mean over the runs of a group at each epoch and, where there are several, its standard deviation."""

    epochs: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float] | None = None


@dataclass(frozen=True)
class Panel:
    """One diagram: what stands at its y axis, and the curves by measure and group.

    A group has one colour in all panels, a measure one line style.
    """

    label: str
    curves: Mapping[str, Mapping[str, Curve]]


def plot_groups(
    path: Path, panels: Sequence[Panel], marks: Mapping[float, str] | None = None, source: str = ""
) -> None:
    """Draw groups of runs, mean and band of one standard deviation, panels side by side; write PNG, SVG or PDF.

    `marks` are vertical lines, epoch -> what happens there; `source` says where the numbers come from, in the file's
    metadata. Values that are not finite leave a gap. Raises PlotError for another kind of file, without a curve or
    without matplotlib, StorageError if the file cannot be written.
    """
    format_of(path)
    groups = list(dict.fromkeys(group for panel in panels for curves in panel.curves.values() for group in curves))
    if not groups:
        raise PlotError("there is no curve to draw: no group has a value of these quantities")
    columns = min(len(groups), 2 * len(panels))
    with figure(columns=len(panels), legend_rows=-(-len(groups) // columns)) as (drawing, axes):
        for ax, panel in zip(axes, panels, strict=True):
            _draw_panel(ax, panel, groups)
            draw_marks(ax, marks or {})
        legend_above(drawing, {group: line(_colour(number)) for number, group in enumerate(groups)}, ncols=columns)
        if any(curve.std for panel in panels for curves in panel.curves.values() for curve in curves.values()):
            drawing.supxlabel(BAND, x=0.99, ha="right", fontsize=6, color="#555555")
        save(drawing, path, source)


@contextlib.contextmanager
def matplotlib_needed() -> Iterator[None]:
    """Say what to install, as a PlotError, if an import fails within."""
    try:
        yield
    except ImportError as error:
        raise PlotError("figures need matplotlib; install it with: pip install 'domcli[plot]'") from error


@contextlib.contextmanager
def figure(columns: int = 1, legend_rows: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure with so many panels side by side under a legend, in the style of all figures.

    It is never shown on a screen. Raises PlotError if matplotlib is not installed.
    """
    with matplotlib_needed():
        from matplotlib import style
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    with style.context(["default", dict(STYLE)]):
        size = (PANEL[0] * columns, PANEL[1] + LEGEND_ROW * legend_rows)
        drawing = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(drawing)
        yield drawing, list(drawing.subplots(1, columns, squeeze=False)[0])


def save(drawing: Figure, path: Path, source: str = "") -> None:
    """Write a figure aside and rename it over `path`, with its source among the metadata.

    Raises PlotError or StorageError.
    """
    kind = format_of(path)
    maker, source = f"domcli {__version__}", printable(source)
    metadata = {
        "png": {"Software": maker, **({"Description": source} if source else {})},
        "svg": {"Date": None, "Creator": maker, **({"Description": source} if source else {})},
        "pdf": {"CreationDate": None, "Creator": maker, **({"Subject": source} if source else {})},
    }[kind]
    write_file(path, lambda file: drawing.savefig(file, format=kind, metadata=metadata))


def format_of(path: Path) -> str:
    """Return the format that the name of a file asks for. Raises PlotError for any but FORMATS."""
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        endings = ", ".join(f".{known}" for known in FORMATS)
        raise PlotError(f"{path} is not the name of a figure; it must end in one of {endings}")
    return kind


def draw_marks(ax: Axes, marks: Mapping[float, str], colour: str = "#888888") -> None:
    """Draw vertical lines at epochs, with what happens there above them."""
    for epoch, name in marks.items():
        ax.axvline(epoch, color=colour, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1.5)
        ax.annotate(
            name,
            (epoch, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6,
            color="#555555",
        )


def epoch_axis(ax: Axes, last: float) -> None:
    """Name the x axis, from the first epoch to the last, in whole epochs."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("epoch")
    ax.set_xlim(1, max(last, 2))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def legend_above(drawing: Figure, samples: Mapping[str, Artist], ncols: int) -> None:
    """Put a legend above the panels: name -> what it looks like."""
    drawing.legend(
        list(samples.values()), [printable_line(name) for name in samples], loc="outside upper center", ncols=ncols
    )


def line(colour: str, style: Any = "-") -> Line2D:
    """Return a line for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, linestyle=style)


def _draw_panel(ax: Axes, panel: Panel, groups: Sequence[str]) -> None:
    last = 1.0
    for style, curves in zip(_styles(), panel.curves.values(), strict=False):
        for group, curve in curves.items():
            colour = _colour(groups.index(group))
            last = max([last, *curve.epochs])
            marker = "o" if len(curve.epochs) == 1 else None
            ax.plot(curve.epochs, curve.mean, color=colour, linestyle=style, marker=marker, markersize=3)
            if curve.std is not None:
                low = [mean - std for mean, std in zip(curve.mean, curve.std, strict=True)]
                high = [mean + std for mean, std in zip(curve.mean, curve.std, strict=True)]
                ax.fill_between(curve.epochs, low, high, color=colour, alpha=0.18, linewidth=0)
    if len(panel.curves) > 1:
        samples = {measure: line("#444444", style) for measure, style in zip(panel.curves, _styles(), strict=False)}
        ax.legend(list(samples.values()), list(samples), loc="best", frameon=True, edgecolor="none", framealpha=0.85)
    ax.set_ylabel(panel.label)
    if ax.get_ylim()[1] >= THOUSAND:
        ax.yaxis.set_major_formatter("{x:,.0f}")
    epoch_axis(ax, last)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _styles() -> Iterator[Any]:
    return itertools.cycle(LINE_STYLES)
