from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domcli.charts import Chart, Series, Stack, mean_with_band, shares_at, smooth, snap, value_at

NAN = float("nan")
VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([NAN, float("inf"), float("-inf")]))


def tensorboard(values: list[float], weight: float) -> list[float]:
    """The loop of TensorBoard's line chart, values that are not finite being gaps."""
    last, count, result = 0.0, 0, []
    for value in values:
        if not np.isfinite(value):
            result.append(NAN)
            continue
        last = last * weight + (1 - weight) * value
        count += 1
        result.append(last / (1 - weight**count))
    return result


@given(st.lists(VALUES, max_size=80), st.sampled_from([0.0, 0.1, 0.6, 0.9, 0.99, 0.999]))
def test_smoothing_is_that_of_a_plain_loop(values: list[float], weight: float) -> None:
    expected = tensorboard(values, weight)
    np.testing.assert_allclose(smooth(np.array(values), weight), expected, rtol=1e-9, atol=1e-6)


def test_smoothing_of_a_long_series_is_that_of_a_plain_loop() -> None:
    values = np.random.default_rng(0).normal(size=5000).cumsum()
    values[::17] = np.nan
    np.testing.assert_allclose(smooth(values, 0.97), tensorboard(values.tolist(), 0.97), rtol=1e-10)


def test_smoothing_leaves_its_input_and_a_constant_as_they_are() -> None:
    values = np.full(1000, 0.3)
    np.testing.assert_allclose(smooth(values, 0.99), 0.3, rtol=1e-13)
    assert (values == 0.3).all()


@pytest.mark.parametrize("weight", [-0.1, 1.0, NAN])
def test_a_weight_outside_of_its_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and less than 1"):
        smooth(np.ones(3), weight)


def test_a_smoothed_series_keeps_what_it_was_as_its_raw_line() -> None:
    series = Series("loss", np.arange(3.0), np.array([1.0, 0.0, 0.0]), 2, "dashed")
    smoothed = series.smoothed(0.5)
    np.testing.assert_allclose(smoothed.y, [1, 1 / 3, 1 / 7])
    assert smoothed.raw is series.y
    assert (smoothed.name, smoothed.colour, smoothed.line) == ("loss", 2, "dashed")
    assert series.smoothed(0) is series


def test_points_are_sorted_and_those_without_an_x_dropped() -> None:
    x = np.array([3.0, NAN, 1.0, 2.0, 1e301])
    y = np.arange(5.0)
    series = Series("", x, y, band=(y - 1, y + 1), raw=10 * y)
    assert series.x.tolist() == [1, 2, 3]
    assert series.y.tolist() == [2, 3, 0]
    assert series.raw is not None
    assert series.raw.tolist() == [20, 30, 0]
    assert series.band is not None
    assert [edge.tolist() for edge in series.band] == [[1, 2, -1], [3, 4, 1]]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"series 'loss': x has the shape \(3,\), y \(2,\)"):
        Series("loss", np.arange(3.0), np.arange(2.0))
    with pytest.raises(ValueError, match="band"):
        Series("loss", np.arange(3.0), np.arange(3.0), band=(np.zeros(3), np.zeros(4)))
    with pytest.raises(ValueError, match="stack"):
        Stack(np.arange(3.0), np.ones((3, 2)), ("one",))
    with pytest.raises(ValueError, match="2 names, but 1 colours"):
        Stack(np.arange(3.0), np.ones((3, 2)), ("one", "two"), (1,))


def test_mean_and_band_of_seeds() -> None:
    first = Series("", np.array([1.0, 2, 3]), np.array([1.0, 2, NAN]))
    second = Series("", np.array([1.0, 2, 3, 4]), np.array([3.0, 2, 5, NAN]))
    mean = mean_with_band("three seeds", [first, second], 4, "dotted")
    assert mean.band is not None
    assert mean.x.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(mean.y, [2, 2, 5, NAN])
    np.testing.assert_allclose(mean.band[0], [2 - np.sqrt(2), 2, NAN, NAN])
    np.testing.assert_allclose(mean.band[1], [2 + np.sqrt(2), 2, NAN, NAN])
    assert (mean.name, mean.colour, mean.line) == ("three seeds", 4, "dotted")


def test_the_mean_of_no_seeds_is_empty() -> None:
    assert mean_with_band("", []).x.size == 0


def test_shares_are_scaled_to_a_sum_of_one_and_impossible_rows_are_gaps() -> None:
    rows = np.array([[1.0, 3.0], [1e308, 1e308], [0.0, 0.0], [NAN, 1.0], [-1.0, 2.0]])
    stack = Stack(np.arange(5.0), rows, ("low", "high"))
    np.testing.assert_allclose(stack.shares, [[0.25, 0.75], [0.5, 0.5], [NAN, NAN], [NAN, NAN], [NAN, NAN]])
    assert stack.colours == (0, 1)
    assert shares_at(stack, 0) == (0.25, 0.75)
    assert shares_at(stack, 2) is None
    assert shares_at(stack, 0.5) is None


def test_the_value_at_the_cursor_is_that_of_a_point_and_never_between_two() -> None:
    series = Series("", np.array([1.0, 2, 4]), np.array([10.0, NAN, 40]))
    assert value_at(series, 1) == 10
    assert value_at(series, 2) is None
    assert value_at(series, 3) is None
    assert value_at(series, 3.5, within=0.5) == 40
    assert value_at(series, 3.4, within=0.5) is None
    assert value_at(series, NAN) is None
    assert value_at(Series("", np.empty(0), np.empty(0)), 1, within=9) is None


def test_of_two_points_at_one_x_the_later_is_read() -> None:
    assert value_at(Series("", np.array([1.0, 1.0]), np.array([5.0, 6.0])), 1) == 6


def test_the_cursor_goes_to_the_nearest_point_of_any_series() -> None:
    chart = Chart(
        (Series("", np.array([1.0, 10]), np.zeros(2)), Series("", np.array([4.0]), np.zeros(1))),
        stack=Stack(np.array([7.0]), np.ones((1, 1)), ("",)),
    )
    assert [snap(chart, x) for x in (-5, 3, 5.5, 6, 8.5, 99)] == [1, 4, 4, 7, 7, 10]
    assert snap(Chart(), 3) is None
