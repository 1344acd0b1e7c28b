from __future__ import annotations

import subprocess
import sys
import unicodedata
from dataclasses import replace
from xml.dom import minidom

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domcli.charts import Axis, Chart, Mark, Picture, Series, Span, Stack, Style, Target, draw, legend, to_svg

pytestmark = pytest.mark.filterwarnings("error")

EPOCHS = np.arange(1, 9.0)
NATURAL = Series("natural", EPOCHS, 0.5 + EPOCHS / 20)
ROBUST = Series("PGD-20", EPOCHS, 0.3 + EPOCHS / 40, 1, "dashed")
ACCURACY = Chart(
    (NATURAL, ROBUST),
    y=Axis("percent"),
    title="Accuracy",
    marks=(Mark(4, "DOM on"),),
    targets=(Target(0.35, "paper"),),
    cursor=6,
)
RISING = Chart((Series("a", EPOCHS, (EPOCHS - 1) / 7),), y_limits=(0, 1))


def lines(picture: Picture) -> list[str]:
    return picture.text.split("\n")


def style_of(picture: Picture, row: int, column: int) -> Style:
    for text, style in picture.rows[row]:
        if column < len(text):
            return style
        column -= len(text)
    raise AssertionError("the picture is narrower")


def test_a_whole_chart() -> None:
    assert lines(draw(ACCURACY, 44, 12)) == [
        "Accuracy  ━━ natural  ╍╍ PGD-20             ",
        "100%┤                ┊DOM on    │           ",
        "    │                ┊          │    ⣀⣀⠤⠤⠒⠒⠉",
        "    │                ┊    ⣀⣀⡠⠤⠤⠔⠒⠒⠉⠉⠉       ",
        "    │          ⢀⣀⡠⠤⠤⠔⠒⠒⠉⠉⠉      │           ",
        "    │ ⢀⣀⣀⡠⠤⠔⠒⠊⠉⠁     ┊          │           ",
        " 50%┤⠉⠁              ┊          │  ⢀⣀ ⣀⣀ ⠤⠤ ",
        "    │         ⣀⣀ ⣀⣀ ⠤⠤ ⠤⠔ ⠒⠒ ⠒⠉ ⠉⠉ ⠁        ",
        "    │⠤⠔⠁⠒⠊⠁⠉⠉⠁⠁⠁⠁⠁⠁⠁⠁┊⠁⠁⠁⠁⠁⠁⠁⠁⠁⠁│⠁⠁⠁⠁⠁⠁paper",
        "    │                ┊          │           ",
        "    └─────┬──────────┬──────────┬───── epoch",
        "          2          4          6          8",
    ]


def test_a_whole_chart_in_ascii() -> None:
    assert lines(draw(ACCURACY, 44, 12, ascii=True)) == [
        "Accuracy  ** natural  oo PGD-20             ",
        "100%+                |DOM on    |           ",
        "    |                |          |        ***",
        "    |                |        ***********   ",
        "    |              ***********  |           ",
        "    |   ***********  |          |           ",
        " 50%+***             |          |   oooooooo",
        "    |         oooooooooooooooooooooo        ",
        "    |ooooooooo - - - | - - - - -|- - - paper",
        "    |                |          |           ",
        "    +-----+----------+----------+----- epoch",
        "          2          4          6          8",
    ]


def test_what_does_not_fit_is_left_out() -> None:
    assert lines(draw(RISING, 12, 4)) == ["         ⣀⠔⠊", "      ⡠⠒⠉   ", "   ⢀⠤⠊      ", "⡠⠔⠊⠁        "]
    assert lines(draw(RISING, 12, 5))[-1] == "      5     "
    assert [line[:5] for line in lines(draw(RISING, 22, 6))] == [" 1.0┤", "    │", " 0.5┤", "    │", " 0.0┤", "     "]
    assert lines(draw(RISING, 22, 1))[0].startswith(" 0.0┤")
    assert lines(draw(RISING, 30, 8))[0].rstrip() == "━━ a"


def test_gaps_stay_empty() -> None:
    y = np.array([0.0, 1, 0, np.nan, 0, 1, 1, np.inf])
    assert lines(draw(Chart((Series("", EPOCHS, y),), y_limits=(0, 1)), 8, 2)) == ["⢠⢣   ⡜⠉ ", "⡜⠘⡄ ⢠⠃  "]


def test_zero_is_a_gap_on_a_logarithmic_axis() -> None:
    rate = np.array([0.1, 0.1, 0, 0.01, 0.01, -1, 0.001, 0.001])
    assert lines(draw(Chart((Series("", EPOCHS, rate),), y=Axis(log=True)), 26, 7)) == [
        "  0.1┤⠉⠉⠉⠁                ",
        "     │                    ",
        "     │                    ",
        "     │        ⠈⠉⠉⠁        ",
        "     │                    ",
        "0.001┤                ⢀⣀⣀⣀",
        "                 5        ",
    ]


def test_the_foremost_series_gives_a_shared_cell_its_colour() -> None:
    low, high = Series("", EPOCHS, EPOCHS * 0, 3), Series("", EPOCHS, EPOCHS * 0 + 0.3, 5)
    for series, colour in (((low, high), 5), ((high, low), 3)):
        picture = draw(Chart(series, y_limits=(0, 1)), 12, 1)
        assert picture.text == "⣤" * 12
        assert style_of(picture, 0, 4) == Style(colour)


def test_raw_lines_and_bands_are_faint_and_behind_their_curves() -> None:
    zeros = np.zeros(8)
    series = Series("", EPOCHS, zeros + 0.5, 2, raw=zeros + 1, band=(zeros, zeros + 1))
    picture = draw(Chart((series,), y_limits=(0, 1)), 8, 4)
    assert lines(picture) == ["⠉⠉⠉⠉⠉⠉⠉⠉", "⠡⠡⠡⠡⠡⠡⠡⠡", "⠉⠉⠉⠉⠉⠉⠉⠉", "⠡⠡⠡⠡⠡⠡⠡⠡"]
    assert [style_of(picture, row, 0) for row in range(4)] == [
        Style(2, faint=True),
        Style(2, faint=True),
        Style(2),
        Style(2, faint=True),
    ]


def test_marks_targets_and_the_cursor_have_their_styles() -> None:
    picture = draw(ACCURACY, 44, 12)
    assert style_of(picture, 0, 0) == Style("title", bold=True)
    assert style_of(picture, 1, 21) == Style("mark")
    assert style_of(picture, 1, 22) == Style("mark")
    assert style_of(picture, 8, 40) == Style("target")
    assert style_of(picture, 1, 32) == Style("cursor", cursor=True)
    assert style_of(picture, 3, 32) == Style(0, cursor=True)
    assert style_of(picture, 11, 32) == Style("cursor", bold=True)
    assert style_of(draw(replace(ACCURACY, marks=(Mark(4, "!", "finding"),)), 44, 12), 1, 21) == Style("finding")


def test_marks_and_the_cursor_outside_of_the_window_are_not_drawn() -> None:
    chart = replace(ACCURACY, x_limits=(1, 3), targets=(Target(7),), y_limits=(0, 1))
    assert draw(chart, 44, 12) == draw(replace(chart, marks=(), cursor=None, targets=()), 44, 12)


def test_a_label_covers_no_data_and_no_other_label() -> None:
    wall = Series("", np.array([4.5, 5, 5.5]), np.array([0.0, 1, 0]))
    chart = Chart((wall,), x_limits=(1, 8), y_limits=(0, 1), marks=(Mark(4, "first"), Mark(4, "second")))
    shown = lines(draw(chart, 40, 6))
    assert sum("first" in line for line in shown) == 1
    assert sum("second" in line for line in shown) == 1
    bare = draw(replace(chart, marks=()), 40, 6).text
    labelled = draw(chart, 40, 6).text
    assert all(new == old for old, new in zip(bare, labelled, strict=True) if "\u2801" <= old <= "\u28ff")


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("ascii", [False, True])
def test_neighbouring_labels_do_not_touch(apart: int, ascii: bool) -> None:
    marks = (Mark(10, "best"), Mark(10 + apart, "lr down"))
    flat = Series("", np.array([1.0, 40]), np.array([0.0, 0]))
    shown = lines(draw(Chart((flat,), x_limits=(1, 40), y_limits=(0, 1), marks=marks), 45, 8, ascii=ascii))
    text = "\n".join(shown)
    assert text.count("best") == text.count("lr down") == 1
    assert "bestlr" not in text
    assert "downbest" not in text


def test_why_a_chart_is_empty_is_told_in_as_many_rows_as_it_takes() -> None:
    shown = lines(draw(Chart(empty="mark runs with space to see their curves"), 30, 12))
    assert " ".join(line.split("│")[-1].split("┤")[-1].strip() for line in shown[1:-2]).split() == (
        ["mark", "runs", "with", "space", "to", "see", "their", "curves"]
    )


def test_a_picture_leads_from_the_mouse_to_the_data() -> None:
    plot = draw(replace(ACCURACY, cursor=None), 44, 12).plot
    assert (plot.left, plot.top, plot.columns, plot.rows) == (5, 1, 39, 9)
    for epoch in EPOCHS:
        column = plot.column_of(epoch)
        assert column is not None
        assert plot.x_at(column) == pytest.approx(epoch, abs=0.1)
    assert plot.row_of(1.0) == 1
    assert plot.y_at(1) == pytest.approx(1, abs=0.1)
    assert [plot.x_at(4), plot.x_at(44), plot.y_at(0), plot.y_at(10)] == [None] * 4
    assert [plot.column_of(0.9), plot.row_of(float("nan"))] == [None, None]


def test_an_empty_chart_says_so() -> None:
    assert "no data yet" in draw(Chart(), 30, 8).text
    nothing = Series("a", EPOCHS, EPOCHS * np.nan)
    assert "no epochs" in draw(Chart((nothing,), empty="no epochs"), 30, 8).text
    assert "no data yet" in draw(Chart((Series("", EPOCHS, -EPOCHS),), y=Axis(log=True)), 30, 8).text
    assert "no data" not in draw(RISING, 30, 8).text


def test_the_legend_fits_and_counts_what_does_not() -> None:
    chart = Chart((NATURAL, ROBUST, replace(NATURAL, name="one-step", line="dotted"), replace(NATURAL, name="")))
    texts = {width: "".join(span.text for span in legend(chart, width)) for width in (80, 30, 12, 3)}
    assert texts[80].rstrip() == "━━ natural  ╍╍ PGD-20  ┅┅ one-step"
    assert texts[30].rstrip() == "━━ natural  ╍╍ PGD-20  +1"
    assert texts[12].rstrip() == "━━ natu…  +2"
    assert [len(text) for text in texts.values()] == [80, 30, 12, 3]
    assert legend(chart, 80)[0] == ("━━ ", Style(0))


def test_the_same_chart_gives_the_same_picture() -> None:
    assert draw(ACCURACY, 80, 20) == draw(ACCURACY, 80, 20)


def test_blanks_belong_to_what_is_before_them_in_their_row() -> None:
    above, row = draw(RISING, 12, 4).rows[:2]
    assert above[-1].style == Style(0)
    assert row == (Span("      ", Style()), Span("⡠⠒⠉   ", Style(0)))


def test_a_picture_without_size_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 4"):
        draw(RISING, 0, 4)


def test_text_from_outside_cannot_reach_the_terminal() -> None:
    evil = Series("\x1b[31mred\n日\u200b", EPOCHS, EPOCHS)
    assert lines(draw(Chart((evil,), title="é\u0301"), 40, 8))[0].rstrip() == "é?  ━━ ?[31mred???"
    assert "??" in lines(draw(Chart((evil,), title="é"), 40, 8, ascii=True))[0]


NUMBERS = st.one_of(
    st.floats(), st.floats(-2, 2), st.sampled_from([0.0, 1.0, 5e-324, 1e308, -1e308, 1e15, 1e15 + 0.125])
)
TEXTS = st.text(max_size=12)
LIMITS = st.none() | st.tuples(NUMBERS, NUMBERS)
AXES = st.builds(Axis, st.sampled_from(["number", "count", "percent", "hours"]), TEXTS, st.booleans())


@st.composite
def columns(draw_: st.DrawFn, count: int) -> list[np.ndarray]:
    """Columns of one length: few values again and again, or evenly spaced ones."""
    size = draw_(st.sampled_from([0, 1, 2, 7, 400]))
    found = []
    for _ in range(count):
        few = draw_(st.lists(NUMBERS, min_size=1, max_size=5))
        with np.errstate(all="ignore"):
            found.append(np.arange(size) * few[0] if len(few) == 1 else np.resize(few, size))
    return found


@st.composite
def some_series(draw_: st.DrawFn) -> Series:
    x, y, raw, low, high = draw_(columns(5))
    line = draw_(st.sampled_from(["solid", "dashed", "dotted"]))
    behind = {"band": (low, high), "raw": raw} if draw_(st.booleans()) else {}
    series = Series(draw_(TEXTS), x, y, draw_(st.integers(0, 9) | TEXTS), line, **behind)
    return series.smoothed(draw_(st.sampled_from([0.0, 0.9])))


@st.composite
def some_stack(draw_: st.DrawFn) -> Stack:
    parts = draw_(st.sampled_from([0, 1, 3, 9]))
    x, *shares = draw_(columns(parts + 1))
    names = tuple(draw_(st.lists(TEXTS, min_size=parts, max_size=parts)))
    return Stack(x, np.array(shares).T.reshape(x.size, parts), names, solid=draw_(st.booleans()))


CHARTS = st.builds(
    Chart,
    series=st.lists(some_series(), max_size=3).map(tuple),
    x=AXES,
    y=AXES,
    x_limits=LIMITS,
    y_limits=LIMITS,
    marks=st.lists(st.builds(Mark, NUMBERS, TEXTS), max_size=2).map(tuple),
    targets=st.lists(st.builds(Target, NUMBERS, TEXTS), max_size=2).map(tuple),
    stack=st.none() | some_stack(),
    cursor=st.none() | NUMBERS,
    title=TEXTS,
    empty=TEXTS,
)


@settings(max_examples=80)
@given(CHARTS, st.integers(1, 110), st.integers(1, 40), st.booleans())
def test_any_chart_at_any_size_is_printable_and_of_exactly_that_size(
    chart: Chart, width: int, height: int, ascii: bool
) -> None:
    picture = draw(chart, width, height, ascii=ascii)
    assert [sum(len(span.text) for span in row) for row in picture.rows] == [width] * height
    for character in set(picture.text) - {"\n"}:
        assert character.isprintable()
        assert unicodedata.east_asian_width(character) not in "WF"
        assert not unicodedata.combining(character)
        assert character.isascii() or not ascii


@settings(max_examples=50)
@given(CHARTS, st.integers(200, 900), st.integers(120, 600))
def test_any_chart_is_a_valid_svg_of_numbers(chart: Chart, width: int, height: int) -> None:
    document = minidom.parseString(to_svg(chart, width, height).encode())
    for element in document.getElementsByTagName("*"):
        for name, value in element.attributes.items():
            if name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "points", "cx", "cy"):
                assert np.isfinite([float(number) for number in value.replace(",", " ").split()]).all()


@pytest.mark.parametrize("size", [(10, 4), (300, 90)])
def test_the_smallest_and_the_largest_size(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).normal(size=60_000)
    noise[100:200] = np.nan
    series = Series("noise", np.arange(60_000.0), noise, band=(noise - 1, noise + 1)).smoothed(0.9)
    picture = draw(replace(ACCURACY, series=(series,)), *size)
    assert [sum(len(span.text) for span in row) for row in picture.rows] == [size[0]] * size[1]


def test_charts_need_numpy_and_of_domcli_what_is_printable_alone() -> None:
    code = "import sys, domcli.charts; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    own = {name.split(".")[1] for name in found if name.startswith("domcli.")}
    assert own == {"charts", "printable"}
    assert not {"rich", "textual", "pydantic", "torch", "scipy"} & set(found)


def test_the_cursor_is_seen_in_a_stack_and_its_epoch_covers_no_tick_in_part() -> None:
    epochs = np.arange(1, 201.0)
    stack = Stack(epochs, np.ones((200, 2)), ("low", "high"), solid=True)
    shown = lines(draw(Chart(stack=stack, cursor=155), 80, 12))
    column = shown[1].index("│", 5)
    assert all(line[column] == "│" for line in shown[1:-2])
    assert shown[-1].split() == ["20", "40", "60", "80", "100", "120", "140", "155", "180", "200"]


def test_names_of_a_legend_are_cut_before_entries_are_left_out() -> None:
    series = tuple(Series(f"a-setting-with-a-name-{n}", np.arange(3.0), np.arange(3.0), n) for n in range(7))
    (row,) = draw(Chart(series), 100, 9).text.splitlines()[:1]
    assert row.count("━━") == 7
    assert "+" not in row
    assert "+" in draw(Chart(series), 50, 9).text.splitlines()[0]
