from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domcli.charts.raster import Grid, area, braille, line
from domcli.charts.reduce import Points, band_edges, edges_of, reduce
from domcli.charts.series import Flags, Line, Series

NAN = float("nan")


def points(*at: tuple[float, float], gaps: tuple[int, ...] = ()) -> Points:
    """Points between 0 and 1; a gap is before each of the numbered ones."""
    joined = np.array([number > 0 and number not in gaps for number in range(len(at))])
    return Points(np.array([x for x, _ in at]), np.array([y for _, y in at]), joined)


def rows(dots: Flags) -> list[str]:
    return ["".join("#" if dot else "." for dot in row) for row in dots]


def test_few_points_are_all_kept_with_their_gaps() -> None:
    y = np.array([1.0, 2, NAN, 4, np.inf, 6])
    found = reduce(np.arange(6.0), y, (0, 5), 100)
    assert found.x.tolist() == [0, 1, 3, 5]
    assert found.y.tolist() == [1, 2, 4, 6]
    assert found.joined.tolist() == [False, True, False, False]


def test_points_outside_of_the_window_are_dropped_but_for_one_to_each_side() -> None:
    found = reduce(np.arange(100.0), np.arange(100.0), (20.5, 23.5), 50)
    assert found.x.tolist() == [20, 21, 22, 23, 24]


def test_a_neighbour_that_is_a_gap_leads_nowhere() -> None:
    y = np.array([0.0, NAN, 2, 3, 4])
    assert reduce(np.arange(5.0), y, (2, 4), 50).x.tolist() == [2, 3, 4]


def test_values_of_zero_and_less_are_gaps_on_a_logarithmic_axis() -> None:
    y = np.array([1.0, 0, 2, -1, 3, 4])
    found = reduce(np.arange(6.0), y, (0, 5), 50, log_y=True)
    assert found.y.tolist() == [1, 2, 3, 4]
    assert found.joined.tolist() == [False, False, False, True]


def test_the_work_grows_with_the_columns_and_not_with_the_data() -> None:
    y = np.random.default_rng(0).normal(size=60_000)
    assert reduce(np.arange(60_000.0), y, (0, 59_999), 100).x.size <= 400
    assert reduce(np.arange(60_000.0), y, (30_000, 30_010), 100).x.size == 13


@given(
    st.integers(2, 12),
    st.lists(st.one_of(st.integers(-9, 9), st.just(None)), min_size=1, max_size=300),
)
def test_every_column_keeps_its_first_lowest_highest_and_last_point(columns: int, values: list[int | None]) -> None:
    y = np.array(values, np.float64)
    x = np.arange(y.size, dtype=np.float64)
    limits = (0.0, max(1.0, y.size - 1.0))
    found = reduce(x, y, limits, columns)
    edges = edges_of(limits, columns)
    for low, high in pairwise(edges):
        kept = found.y[(found.x >= low) & (found.x < high)]
        there = y[(x >= low) & (x < high) & np.isfinite(y)]
        assert (kept.size > 0) == (there.size > 0)
        if there.size:
            ends = (kept.min(), kept.max(), kept[0], kept[-1])
            assert ends == (there.min(), there.max(), there[0], there[-1])


@given(st.lists(st.one_of(st.integers(-9, 9), st.just(None)), min_size=1, max_size=300))
def test_reduction_neither_joins_nor_makes_gaps(values: list[int | None]) -> None:
    y = np.array(values, np.float64)
    runs = np.count_nonzero(np.isfinite(y) & ~np.append(False, np.isfinite(y[:-1])))
    found = reduce(np.arange(y.size, dtype=np.float64), y, (0, max(1, y.size - 1)), 3)
    assert np.count_nonzero(~found.joined) == runs


def test_a_line_is_one_dot_thick_and_has_no_holes() -> None:
    assert rows(line(points((0, 0), (1, 1)), Grid(4, 8))) == [
        "......##",
        "....##..",
        "..##....",
        "##......",
    ]
    assert rows(line(points((0, 0), (1, 1)), Grid(6, 3))) == ["..#", "..#", ".#.", ".#.", "#..", "#.."]
    assert rows(line(points((0, 0), (1, 1)), Grid(5, 3))) == ["..#", "..#", ".#.", ".#.", "#.."]


def test_a_line_is_cut_at_the_edges_of_the_grid_without_being_bent() -> None:
    inside = line(points((0, 0), (1, 1)), Grid(9, 9))
    outside = line(points((-1, -1), (2, 2)), Grid(9, 9))
    assert (inside == np.eye(9, dtype=bool)[::-1]).all()
    assert (outside == inside).all()


def test_no_line_is_drawn_over_a_gap() -> None:
    grid = Grid(3, 9)
    assert rows(line(points((0, 0.5), (0.25, 0.5), (0.75, 0.5), (1, 0.5), gaps=(2,)), grid)) == [
        ".........",
        "###...###",
        ".........",
    ]


@pytest.mark.parametrize(
    ("style", "expected"), [("solid", "#" * 14), ("dashed", "####..####..##"), ("dotted", "#.#.#.#.#.#.#.")]
)
def test_line_styles(style: Line, expected: str) -> None:
    assert rows(line(points((0, 0), (1, 0)), Grid(1, 14), style)) == [expected]
    upright = line(points((0, 1), (0, 0)), Grid(14, 1), style)
    assert "".join(rows(upright)) == expected


@pytest.mark.parametrize("style", ["solid", "dashed", "dotted"])
def test_a_point_without_neighbours_is_drawn_in_every_style_and_column(style: Line) -> None:
    for column in range(12):
        dots = line(points((column / 11, 0), gaps=(0,)), Grid(1, 12), style)
        assert rows(dots) == ["." * column + "#" + "." * (11 - column)]


@pytest.mark.parametrize("style", ["solid", "dashed", "dotted"])
@pytest.mark.parametrize("at", [0, 1, 12_345, 31_007, 59_999])
def test_a_spike_of_one_point_in_60000_is_seen(style: Line, at: int) -> None:
    y = np.zeros(60_000)
    y[at] = 1
    x = np.arange(60_000.0)
    found = reduce(x, y, (0, 59_999), 160)
    dots = line(found._replace(x=found.x / 59_999), Grid(80, 160), style)
    spike = dots[:-1].any(axis=0)
    assert np.flatnonzero(spike).tolist() == [round(at / 59_999 * 159)]
    assert dots[:40, spike].sum() >= 15


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 15)), min_size=2, max_size=12, unique_by=lambda at: at[0]),
)
def test_a_line_is_connected_and_passes_all_its_points(at: list[tuple[int, int]]) -> None:
    at = sorted(at)
    dots = line(points(*((x / 19, 1 - y / 15) for x, y in at)), Grid(16, 20))
    assert all(dots[y, x] for x, y in at)
    columns = [np.flatnonzero(dots[:, column]) for column in range(at[0][0], at[-1][0] + 1)]
    for here, there in pairwise(columns):
        assert here[-1] - here[0] == here.size - 1
        assert there[0] <= here[-1] + 1
        assert here[0] <= there[-1] + 1


def test_an_area_reaches_from_edge_to_edge_and_stops_at_gaps() -> None:
    low = points((0, 0), (0.4, 0), (0.6, 0.5), (1, 0.5), gaps=(2,))
    high = points((0, 0.5), (0.4, 0.5), (0.6, 1), (1, 1), gaps=(2,))
    assert rows(area(low, high, Grid(5, 6))) == [
        "...###",
        "...###",
        "######",
        "###...",
        "###...",
    ]


def test_an_area_beyond_the_grid_fills_what_is_shown() -> None:
    low, high = points((0, -9), (1, -9)), points((0, 0.5), (1, 7))
    assert rows(area(low, high, Grid(3, 4))) == [".###", "####", "####"]
    assert not area(points((0, 2), (1, 2)), points((0, 3), (1, 3)), Grid(3, 4)).any()


def test_band_edges_have_their_gaps_in_common_and_the_right_order() -> None:
    low, high = np.array([1.0, NAN, 5, -2]), np.array([2.0, 3, 4, 6])
    series = Series("", np.arange(4.0), np.zeros(4), band=(low, high))
    lower, upper = band_edges(series, (0.5, 9), False)
    np.testing.assert_equal(lower, [1, NAN, 4, -2])
    np.testing.assert_equal(upper, [2, NAN, 5, 6])
    lower, upper = band_edges(series, (0.5, 9), True)
    np.testing.assert_equal(lower, [1, NAN, 4, 0.5])


def test_every_dot_has_its_bit_in_braille() -> None:
    for row in range(4):
        for column in range(2):
            dots = np.zeros((4, 2), bool)
            dots[row, column] = True
            number = {(0, 0): 1, (1, 0): 2, (2, 0): 3, (0, 1): 4, (1, 1): 5, (2, 1): 6, (3, 0): 7, (3, 1): 8}
            assert braille(dots).tolist() == [[1 << (number[row, column] - 1)]]
    assert chr(0x2800 + int(braille(np.ones((4, 2), bool))[0, 0])) == "⣿"
