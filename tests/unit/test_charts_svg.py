from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import pytest

from domcli.charts import DARK, LIGHT, Axis, Chart, Mark, Series, Stack, Target, to_svg

SVG = "{http://www.w3.org/2000/svg}"
X = np.arange(11.0)
LINE = Chart((Series("loss", X, X / 10, 1),), y_limits=(0, 1))


def parsed(chart: Chart, width: int = 400, height: int = 300, **options: object) -> Element:
    return ElementTree.fromstring(to_svg(chart, width, height, **options))


def data(root: Element) -> Element:
    """What is between the axes."""
    return root.findall(f"{SVG}svg")[0]


def corners(shape: Element) -> np.ndarray:
    return np.array([pair.split(",") for pair in shape.attrib["points"].split()], float)


def texts(root: Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def test_a_line_is_drawn_from_its_data() -> None:
    root = parsed(LINE)
    (line,) = data(root).iter(f"{SVG}polyline")
    width, height = (float(data(root).attrib[side]) for side in ("width", "height"))
    expected = np.stack([X / 10 * width, (1 - X / 10) * height], axis=1)
    np.testing.assert_allclose(corners(line), expected, atol=0.02)


def test_the_document_has_the_size_asked_for_and_its_data_lie_within() -> None:
    root = parsed(LINE, 640, 360)
    assert (root.attrib["width"], root.attrib["height"], root.attrib["viewBox"]) == ("640", "360", "0 0 640 360")
    left, top, width, height = (float(data(root).attrib[name]) for name in ("x", "y", "width", "height"))
    assert 0 < left < left + width < 640
    assert 0 < top < top + height < 360


def test_gaps_part_a_line_and_a_point_alone_is_a_dot() -> None:
    y = np.array([0, 1, np.nan, 1, np.inf, 0, 1, 0, np.nan, np.nan, 0])
    root = parsed(Chart((Series("", X, y),)))
    assert [len(corners(line)) for line in root.iter(f"{SVG}polyline")] == [2, 3]
    assert len(list(root.iter(f"{SVG}circle"))) == 2


def test_a_band_goes_along_one_edge_and_back_along_the_other() -> None:
    low, high = X * 0 + 0.25, X * 0 + 0.75
    high[5] = np.nan
    root = parsed(replace(LINE, series=(Series("", X, X / 10, band=(low, high)),)))
    height = float(data(root).attrib["height"])
    bands = [corners(band) for band in data(root).iter(f"{SVG}polygon")]
    assert [len(band) for band in bands] == [10, 10]
    np.testing.assert_allclose(bands[0][:, 1], [0.75 * height] * 5 + [0.25 * height] * 5, atol=0.02)


def test_line_styles_and_the_raw_line() -> None:
    series = (Series("", X, X, line="dashed", raw=X), Series("", X, X, 1, "dotted"), Series("", X, X))
    groups = data(parsed(Chart(series))).findall(f"{SVG}g")
    dashes = [group.attrib.get("stroke-dasharray") for group in groups]
    assert dashes == [None, "7 4", "2 3", None]
    assert [group.attrib.get("stroke-opacity") for group in groups] == ["0.35", None, None, None]


def test_a_long_line_has_no_more_points_than_can_be_seen_and_keeps_its_spike() -> None:
    y = np.zeros(60_000)
    y[31_007] = 1
    root = parsed(Chart((Series("", np.arange(60_000.0), y),), y_limits=(0, 1)))
    (line,) = data(root).iter(f"{SVG}polyline")
    assert len(corners(line)) <= 1600
    assert corners(line)[:, 1].min() == 0


def test_titles_labels_and_ticks_are_written() -> None:
    chart = replace(
        LINE, title="Loss", y=Axis(label="nats"), marks=(Mark(5, "DOM on"),), targets=(Target(0.5, "paper"),)
    )
    assert {"Loss", "nats", "epoch", "loss", "DOM on", "paper", "0.0", "1.0", "0", "10"} <= set(texts(parsed(chart)))
    assert "Loss" not in texts(parsed(chart, title="Another"))
    assert "Another" in texts(parsed(chart, title="Another"))


def test_marks_and_targets_are_where_they_belong() -> None:
    root = parsed(replace(LINE, marks=(Mark(5),), targets=(Target(0.25),)))
    left, top, width, height = (float(data(root).attrib[name]) for name in ("x", "y", "width", "height"))
    dashed = {
        line.attrib["stroke-dasharray"]: line
        for line in root.findall(f"{SVG}line")
        if "stroke-dasharray" in line.attrib
    }
    assert (
        float(dashed["3 3"].attrib["x1"])
        == float(dashed["3 3"].attrib["x2"])
        == pytest.approx(left + width / 2, abs=0.02)
    )
    assert (
        float(dashed["1 3"].attrib["y1"])
        == float(dashed["1 3"].attrib["y2"])
        == pytest.approx(top + 0.75 * height, abs=0.02)
    )
    outside = parsed(replace(LINE, marks=(Mark(50, "far"),), targets=(Target(7, "high"),)))
    assert not {"far", "high"} & set(texts(outside))


def test_marks_lie_behind_curves_and_over_areas() -> None:
    curve, areas = (
        parsed(replace(LINE, marks=(Mark(5),))),
        parsed(Chart(stack=Stack(X, np.ones((11, 2)), ("a", "b")), marks=(Mark(5),))),
    )
    for root, behind in ((curve, True), (areas, False)):
        line = next(child for child in root if child.get("stroke-dasharray") == "3 3")
        assert (list(root).index(line) < list(root).index(data(root))) is behind


def test_labels_of_many_marks_leave_room_for_the_curves() -> None:
    root = parsed(replace(LINE, marks=tuple(Mark(5 + n / 100, f"mark {n}") for n in range(9))))
    assert len([text for text in texts(root) if text.startswith("mark")]) == 3


def test_labels_of_close_marks_do_not_share_a_line() -> None:
    root = parsed(replace(LINE, marks=(Mark(5, "warm-up ends"), Mark(5.2, "best"))))
    heights = {text.text: text.attrib["y"] for text in root.iter(f"{SVG}text")}
    assert heights["warm-up ends"] != heights["best"]


def test_a_stack_is_an_area_for_each_part_and_run() -> None:
    shares = np.array([[1.0, 1], [1, 3], [np.nan, 0], [1, 1]])
    root = parsed(Chart(stack=Stack(np.arange(1, 5.0), shares, ("low", "high"))))
    height = float(data(root).attrib["height"])
    areas = [corners(area) for area in data(root).iter(f"{SVG}polygon")]
    assert len(areas) == 4
    low, high = areas[:2]
    assert set(np.round(low[:, 1] / height, 3)) == {1, 0.5, 0.75}
    assert set(np.round(high[:, 1] / height, 3)) == {0, 0.5, 0.75}
    assert {"low", "high"} <= set(texts(root))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_themes_give_the_colours(theme: object) -> None:
    root = parsed(replace(LINE, marks=(Mark(5, "!", "finding"),)), theme=theme)
    assert root.find(f"{SVG}rect").attrib["fill"] == theme.background
    assert data(root).find(f"{SVG}g").attrib["stroke"] == theme.palette[1]
    assert theme.roles["finding"] in {text.attrib["fill"] for text in root.iter(f"{SVG}text")}


def test_colour_keys_begin_again_and_unknown_roles_are_text() -> None:
    assert LIGHT.colour(len(LIGHT.palette) + 2) == LIGHT.palette[2]
    assert LIGHT.colour("nothing") == LIGHT.text


def test_texts_are_escaped_and_what_cannot_be_shown_is_replaced() -> None:
    chart = Chart((Series('a<b> & "c" \x1b[0m \ud800 \u202e 日本', X, X),), title="</svg>\nnext")
    shown = texts(parsed(chart))
    assert r'a<b> & "c" \x1b[0m \ud800 \u202e 日本' in shown
    assert "</svg> next" in shown


def test_a_long_legend_wraps_and_leaves_room_for_the_data() -> None:
    series = tuple(Series(f"a run with a long name, number {number}", X, X) for number in range(40))
    root = parsed(Chart(series))
    assert float(data(root).attrib["height"]) > 100
    assert any(text.startswith("and ") and text.endswith(" more") for text in texts(root))
    assert "epoch" in texts(root)


def test_an_empty_chart_says_so() -> None:
    assert "no data yet" in texts(parsed(Chart()))


def test_a_size_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="200 x 120 is the least"):
        to_svg(LINE, 199, 300)
