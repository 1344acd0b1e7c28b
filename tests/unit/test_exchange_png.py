"""Charts as PNG: the same picture as the SVG, in pixels."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from domcli.charts import Axis, Chart, Mark, Series, Stack, Target, to_svg
from domcli.exchange.plot import PlotError
from domcli.exchange.png import to_png

pytestmark = pytest.mark.filterwarnings("error")
X = np.arange(1.0, 9)
BLUE, RED, GREEN = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)


def pixels(chart: Chart, width: int = 480, height: int = 270) -> np.ndarray:
    """Return a chart as an array of shape (height, width, 3), at two dots for a pixel of the SVG."""
    png = to_png(to_svg(chart, width, height), dpi=192)
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def amount(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Return how many pixels have about this colour."""
    return int((np.abs(picture - colour).max(axis=2) < 40).sum())


def test_size_and_density() -> None:
    png = to_png(to_svg(Chart(), 480, 270))
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (1000, 562)
        assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_lines_are_where_their_values_are() -> None:
    chart = Chart((Series("", X, X), Series("", X, 9 - X, 1)), y_limits=(0, 10))
    picture = pixels(chart)
    assert picture[2, 2].tolist() == [255, 255, 255]
    columns = picture.shape[1]
    rising = np.argwhere(np.abs(picture - BLUE).max(axis=2) < 40)
    left, right = (rising[(rising[:, 1] > columns // 2) == side][:, 0].mean() for side in (False, True))
    assert left > right + 50
    assert amount(picture, RED) > 500


def test_dashes_and_dots_leave_gaps() -> None:
    solid, dashed, dotted = (
        amount(pixels(Chart((Series("", X, X * 0 + 1, 0, line),), y_limits=(0, 2))), BLUE)
        for line in ("solid", "dashed", "dotted")
    )
    assert solid > 1.3 * dashed > 1.3 * dotted > 0


def test_a_gap_is_not_joined_and_a_point_alone_is_seen() -> None:
    y = np.array([1, 1, np.nan, np.nan, np.nan, np.nan, 1, np.nan])
    picture = pixels(Chart((Series("", X, y),), y_limits=(0, 2)))
    drawn = (np.abs(picture - BLUE).max(axis=2) < 40).any(axis=0)
    starts = np.flatnonzero(np.diff(drawn.astype(int)) == 1)
    assert starts.size == 2


def test_nothing_is_drawn_outside_of_the_axes() -> None:
    chart = Chart((Series("", X, X * 1000),), x_limits=(2, 6), y_limits=(0, 5))
    inside = Chart((Series("", X, X),), x_limits=(2, 6), y_limits=(0, 5))
    assert amount(pixels(chart)[:10], BLUE) == 0
    right_edge = pixels(inside)[:, -20:]
    assert amount(right_edge, BLUE) == 0


def test_bands_marks_targets_stacks_titles_and_legends_are_there() -> None:
    line = Series("natural", X, X, 0)
    bare = Chart((replace(line, name=""),), y_limits=(0, 10))
    everything = {
        "legend": replace(bare, series=(line,)),
        "band": replace(bare, series=(replace(line, name="", band=(X - 1, X + 1)),)),
        "raw": replace(bare, series=(replace(line, name="", raw=X[::-1].copy()),)),
        "mark": replace(bare, marks=(Mark(4, "lr ÷10"),)),
        "target": replace(bare, targets=(Target(5, "paper 52.5"),)),
        "title": replace(bare, title="A title with $ and <&>"),
        "label": replace(bare, y=Axis(label="GiB")),
    }
    plain = pixels(bare)
    for what, chart in everything.items():
        assert (pixels(chart) != plain).any(), what
    shares = np.stack([X, 9 - X], axis=1)
    stacked = pixels(Chart(stack=Stack(X, shares, ("low", "high"), colours=(0, 2), solid=True)))
    assert amount(stacked, BLUE) > 20_000
    assert amount(stacked, GREEN) > 20_000


def test_an_empty_chart_says_so() -> None:
    assert (pixels(Chart(empty="no epoch is finished yet")) != pixels(Chart(empty=" "))).any()


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    svg = to_svg(Chart())
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"] + ["matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PlotError, match=r"pip install 'domcli\[plot\]'"):
        to_png(svg)
