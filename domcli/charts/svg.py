"""A chart as a vector picture: drawn from the data, one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from domcli.charts.chart import Chart, Stack
from domcli.charts.markup import element, label, number
from domcli.charts.reduce import Points, band_edges, reduce, straight
from domcli.charts.series import Array, Series
from domcli.charts.stacked import columns_of
from domcli.charts.svg_frame import DASHES, Frame, draw_frame, draw_labels, draw_marks, lay_out
from domcli.charts.themes import LIGHT, Theme

SMALLEST = (200, 120)
"""A smaller picture has no room for its axes."""
FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def to_svg(chart: Chart, width: int = 800, height: int = 450, *, title: str | None = None, theme: Theme = LIGHT) -> str:
    """Return the chart as an SVG document of `width` x `height` pixels.

    It shows what the chart shows in a terminal, but the cursor. `title` stands in place of the chart's own. Raises
    ValueError for a size under 200 x 120.
    """
    if width < SMALLEST[0] or height < SMALLEST[1]:
        raise ValueError(
            f"an SVG of {width} x {height} pixels is too small; {SMALLEST[0]} x {SMALLEST[1]} is the least"
        )
    title = chart.title if title is None else title
    frame = lay_out(chart, width, height, title, theme)
    # An svg element inside another one cuts off what is outside of it, without an id that has to be unique in a page.
    data = element("svg", *_data(frame), x=frame.left, y=frame.top, width=frame.width, height=frame.height)
    content = [element("rect", width=width, height=height, fill=theme.background), *draw_frame(frame)]
    lines = list(draw_marks(frame))
    content += [data, *lines] if chart.stack is not None else [*lines, data]  # behind curves, but not behind areas
    content += draw_labels(frame)
    if chart.is_empty():
        middle = frame.left + frame.width / 2, frame.top + frame.height / 2
        content.append(label(*middle, chart.empty, theme.colour("empty"), "middle"))
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", "font_family": FONTS}
    return element("svg", *content, **attributes, width=width, height=height, font_size=12, role="img") + "\n"


def _data(frame: Frame) -> Iterator[str]:
    """Yield what is between the axes, with coordinates from their upper left corner; the foremost last."""
    chart, theme = frame.chart, frame.theme
    if chart.stack is not None:
        yield from _draw_stack(chart.stack, frame)
    for series in chart.series:
        if series.band is not None:
            yield _draw_band(series, frame)
    for series in chart.series:
        if series.raw is not None:
            yield _draw_line(_pieces(series.x, series.raw, frame), theme.colour(series.colour), 1, None, 0.35)
    for series in chart.series:
        pieces = _pieces(series.x, series.y, frame)
        yield _draw_line(pieces, theme.colour(series.colour), 1.8, DASHES[series.line], None)


def _pieces(x: Array, y: Array, frame: Frame) -> list[Array]:
    """Return the unbroken parts of a line as pixels, each of shape (points, 2)."""
    chart = frame.chart
    limits_x, limits_y = chart.shown_x(), chart.shown_y()
    found: Points = reduce(x, y, limits_x, max(2, int(frame.width)), log_x=chart.x.log, log_y=chart.y.log)
    across = straight(found.x, limits_x, chart.x.log) * frame.width
    down = (1 - straight(found.y, limits_y, chart.y.log)) * frame.height
    pixels = np.clip(np.stack([across, down], axis=1), -1e5, 1e5)
    return np.split(pixels, np.flatnonzero(~found.joined[1:]) + 1) if pixels.size else []


def _draw_line(pieces: list[Array], colour: str, width: float, dashes: str | None, opacity: float | None) -> str:
    drawn = [
        element("polyline", points=_points(piece))
        if len(piece) > 1
        else element("circle", cx=piece[0, 0], cy=piece[0, 1], r=width, fill=colour, stroke="none")
        for piece in pieces
    ]
    return element(
        "g",
        *drawn,
        fill="none",
        stroke=colour,
        stroke_width=width,
        stroke_dasharray=dashes,
        stroke_opacity=opacity,
        stroke_linejoin="round",
    )


def _draw_band(series: Series, frame: Frame) -> str:
    low, high = (
        _pieces(series.x, edge, frame) for edge in band_edges(series, frame.chart.shown_y(), frame.chart.y.log)
    )
    areas = [
        element("polygon", points=_points(np.concatenate([below, above[::-1]])))
        for below, above in zip(low, high, strict=True)
    ]
    colour = frame.theme.colour(series.colour)
    return element("g", *areas, fill=colour, fill_opacity=0.2, stroke=colour, stroke_opacity=0.2)


def _points(pixels: Array) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in pixels.tolist())


def _draw_stack(stack: Stack, frame: Frame) -> Iterator[str]:
    """Yield an area for each part and each run of epochs without a gap, with a step where the proportions change."""
    low, high = frame.chart.shown_y()
    columns = max(2, int(frame.width))
    shares = columns_of(stack, frame.chart.shown_x(), columns, frame.chart.x.log)
    edges = (np.arange(columns + 1) - 0.5) / (columns - 1) * frame.width
    heights = np.cumsum(np.hstack([np.zeros((columns, 1)), shares]), axis=1).round(6)
    steps = np.flatnonzero((heights[1:] != heights[:-1]).any(axis=1)) + 1  # a gap differs from itself, too
    starts, ends = np.append(0, steps), np.append(steps, columns)
    known = np.flatnonzero(np.isfinite(heights[starts]).all(axis=1))
    down = (1 - (heights[starts] - low) / (high - low)) * frame.height
    for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        across = np.stack([edges[starts[run]], edges[ends[run]]], axis=1).ravel()
        for part, colour in enumerate(stack.colours if run.size else ()):
            lower, upper = (np.stack([across, np.repeat(down[run, part + side], 2)], axis=1) for side in (0, 1))
            yield element(
                "polygon", points=_points(np.concatenate([lower, upper[::-1]])), fill=frame.theme.colour(colour)
            )
