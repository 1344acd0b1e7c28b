"""Charts as PNG: the SVG of `domcli.charts.to_svg` painted by matplotlib, so that both show the same."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from domcli.exchange.plot import matplotlib_needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import TransformedBbox

DPI = 200
PIXELS_PER_INCH = 96
"""What a pixel of an SVG is, as CSS has it."""
POINT = 72 / PIXELS_PER_INCH
"""Points in a pixel of an SVG."""
FONT = "DejaVu Sans"
"""It comes with matplotlib, and is no wider than the SVG reckons with."""
SIDES: Mapping[str, Any] = {"start": "left", "middle": "center", "end": "right"}

Attributes = Mapping[str, str]


def to_png(svg: str, dpi: int = DPI) -> bytes:
    """Return an SVG of `domcli.charts.to_svg` as a PNG with so many dots per inch, 96 of the SVG's pixels in each.

    Knows only what `to_svg` writes. Raises PlotError if matplotlib is not installed.
    """
    with matplotlib_needed():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    root = ElementTree.fromstring(svg)
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    drawing = Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), dpi=dpi)
    FigureCanvasAgg(drawing)
    axes = drawing.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    _Painter(axes).paint(root, {})
    file = io.BytesIO()
    drawing.savefig(file, format="png", dpi=dpi, metadata={"Software": "domcli"})
    return file.getvalue()


class _Painter:
    """Paints elements over each other, in their order."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._layer = 0

    def paint(
        self, element: ElementTree.Element, inherited: Attributes, left: float = 0, top: float = 0, clip: Any = None
    ) -> None:
        """Paint an element and what is in it; `left` and `top` are where its coordinates begin."""
        tag = element.tag.rpartition("}")[2]
        look = {**inherited, **element.attrib}
        if tag == "svg" and inherited:
            left, top = left + float(look["x"]), top + float(look["y"])
            clip = self._box(left, top, float(look["width"]), float(look["height"]))
        if tag in ("svg", "g"):
            for child in element:
                self.paint(child, look, left, top, clip)
            return
        self._layer += 1
        artist = self._text(element, look) if tag == "text" else self._shape(tag, look, left, top)
        artist.set_zorder(self._layer)
        self._axes.add_artist(artist)
        if clip is not None:
            artist.set_clip_box(clip)

    def _box(self, left: float, top: float, width: float, height: float) -> TransformedBbox:
        from matplotlib.transforms import Bbox, TransformedBbox

        return TransformedBbox(Bbox.from_bounds(left, top, width, height), self._axes.transData)

    def _shape(self, tag: str, look: Attributes, left: float, top: float) -> Any:
        from matplotlib.patches import Circle, Polygon, Rectangle

        stroke = look.get("stroke", "none")
        if tag in ("polyline", "line"):
            return self._line(_points(tag, look, left, top), look)
        edge = {"edgecolor": _colour(stroke, look.get("stroke-opacity")), "linewidth": _width(look)}
        paint = {"facecolor": _colour(look["fill"], look.get("fill-opacity")), **edge}
        if tag == "polygon":
            return Polygon(_points(tag, look, left, top), closed=True, **paint)
        if tag == "circle":
            return Circle((left + float(look["cx"]), top + float(look["cy"])), float(look["r"]), **paint)
        corner = (left + float(look.get("x", 0)), top + float(look.get("y", 0)))
        return Rectangle(corner, float(look["width"]), float(look["height"]), **paint)

    def _line(self, points: list[tuple[float, float]], look: Attributes) -> Any:
        from matplotlib.lines import Line2D

        width, dashes = _width(look), look.get("stroke-dasharray")
        # Matplotlib's dashes are multiples of the line's width.
        style: Any = "-" if dashes is None else (0, [float(dash) * POINT / width for dash in dashes.split()])
        x, y = zip(*points, strict=True)
        colour = _colour(look["stroke"], look.get("stroke-opacity"))
        return Line2D(x, y, color=colour, linewidth=width, linestyle=style, dash_capstyle="butt",
                      solid_capstyle="butt", solid_joinstyle="round", dash_joinstyle="round")  # fmt: skip

    def _text(self, element: ElementTree.Element, look: Attributes) -> Any:
        from matplotlib.text import Text

        return Text(
            float(look["x"]), float(look["y"]), element.text or "", color=look["fill"], parse_math=False,
            horizontalalignment=SIDES[element.get("text-anchor", "start")], verticalalignment="baseline",
            fontsize=float(look["font-size"]) * POINT, fontfamily=FONT,
            fontweight="bold" if "font-weight" in look else "normal",
        )  # fmt: skip


def _points(tag: str, look: Attributes, left: float, top: float) -> list[tuple[float, float]]:
    if tag == "line":
        return [(left + float(look[f"x{end}"]), top + float(look[f"y{end}"])) for end in (1, 2)]
    pairs = (pair.split(",") for pair in look["points"].split())
    return [(left + float(x), top + float(y)) for x, y in pairs]


def _width(look: Attributes) -> float:
    return float(look.get("stroke-width", 1)) * POINT


def _colour(name: str, opacity: str | None) -> Any:
    return name if name == "none" else (name, float(opacity or 1))
