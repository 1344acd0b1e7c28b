from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domcli.charts import Axis, pan, steady_limits, written, zoom
from domcli.charts.axis import Kind, Limits, ticks
from domcli.charts.limits import round_limits, usable

ANY = st.floats(allow_nan=True, allow_infinity=True)


def labels(axis: Axis, low: float, high: float, most: int = 5) -> list[str]:
    return [tick.label for tick in ticks(axis, (low, high), most)]


@pytest.mark.parametrize(
    ("kind", "limits", "expected"),
    [
        ("number", (0, 1), "0.0 0.2 0.4 0.6 0.8 1.0"),
        ("number", (0, 0.03), "0.00 0.01 0.02 0.03"),
        ("number", (-2, 2), "-2 -1 0 1 2"),
        ("number", (0.2, 2.6), "0.5 1.0 1.5 2.0 2.5"),
        ("number", (0, 3e-4), "0 1e-4 2e-4 3e-4"),
        ("number", (0, 1.6e6), "0 5e5 1e6 1.5e6"),
        ("count", (0, 200), "0 50 100 150 200"),
        ("count", (0, 3), "0 1 2 3"),
        ("count", (99.5, 100.5), "100"),
        ("count", (0, 8000), "0 2000 4000 6000 8000"),
        ("count", (0, 50_000), "0 10k 20k 30k 40k 50k"),
        ("count", (0, 1.6e6), "0 0.5M 1.0M 1.5M"),
        ("percent", (0, 1), "0% 20% 40% 60% 80% 100%"),
        ("percent", (0.5, 0.52), "50.0% 50.5% 51.0% 51.5% 52.0%"),
        ("hours", (0, 0.1), "0:00 0:02 0:04 0:06"),
        ("hours", (0, 2), "0:00 0:30 1:00 1:30 2:00"),
        ("hours", (0, 14), "0:00 3:00 6:00 9:00 12:00"),
        ("hours", (0, 80), "0:00 24:00 48:00 72:00"),
    ],
)
def test_ticks_are_round_in_the_units_of_the_field(kind: Kind, limits: Limits, expected: str) -> None:
    assert " ".join(labels(Axis(kind), *limits)) == expected


def test_ticks_have_the_values_their_labels_say() -> None:
    assert [tick.value for tick in ticks(Axis(), (0, 0.3), 3)] == [0, 0.1, 0.2, pytest.approx(0.3)]
    assert [tick.value for tick in ticks(Axis("percent"), (0, 1), 2)] == [0, 0.5, 1]
    assert [tick.value for tick in ticks(Axis("hours"), (0, 1), 2)] == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("limits", "most", "expected"),
    [
        ((1e-5, 0.1), 5, "1e-5 0.0001 0.001 0.01 0.1"),
        ((0.001, 0.1), 2, "0.001 0.1"),
        ((0.01, 3), 5, "0.01 0.1 1"),
        ((0.4, 6), 5, "0.5 1 2 5"),
        ((0.5, 0.7), 5, "0.50 0.55 0.60 0.65 0.70"),
        ((1e-9, 1e9), 5, "1e-5 1 1e5"),
    ],
)
def test_logarithmic_axes_mark_decades(limits: Limits, most: int, expected: str) -> None:
    assert " ".join(labels(Axis(log=True), *limits, most)) == expected


@given(
    limits=st.tuples(ANY, ANY),
    kind=st.sampled_from(["number", "count", "percent", "hours"]),
    log=st.booleans(),
    most=st.integers(1, 12),
)
def test_ticks_lie_within_any_limits_are_few_and_short(limits: Limits, kind: Kind, log: bool, most: int) -> None:
    low, high = usable(limits, log)
    assert math.isfinite(high - low)
    assert low < high
    found = ticks(Axis(kind, log=log), (low, high), most)
    slack = 1e-5 * (high - low)
    assert all(low - slack <= tick.value <= high + slack for tick in found)
    assert len(found) <= max(most, 7) + 2
    assert all(0 < len(tick.label) <= 16 for tick in found)
    values = [tick.value for tick in found]
    assert values == sorted(set(values))


@pytest.mark.parametrize(
    ("axis", "value", "expected"),
    [
        (Axis("percent"), 0.5512, "55.1 %"),
        (Axis("count"), 27_410, "27,410"),
        (Axis("count"), 3120.25, "3,120.2"),
        (Axis("hours"), 1.55, "1:33"),
        (Axis("hours"), -0.5, "-0:30"),
        (Axis(), 0.00012345, "0.0001234"),
        (Axis(), 1e-5, "1e-5"),
        (Axis(), 2.30258, "2.303"),
    ],
)
def test_values_are_written_out(axis: Axis, value: float, expected: str) -> None:
    assert written(axis, value) == expected


def test_round_limits_hold_the_data() -> None:
    assert round_limits((0.31, 2.1), Axis()) == (0, 2.5)
    assert round_limits((0.02, 0.98), Axis("percent")) == (0, 1)
    assert round_limits((3.2, 3.9), Axis("count")) == (3, 4)
    assert round_limits((0.0012, 0.09), Axis(log=True)) == pytest.approx((0.001, 0.1))


def test_limits_stay_while_the_data_fit() -> None:
    limits = steady_limits(None, (0.31, 2.1), Axis())
    assert limits == (0, 2.5)
    assert steady_limits(limits, (0.05, 2.49), Axis()) == limits
    assert steady_limits(limits, (0.05, 1.2), Axis()) == limits


def test_limits_move_only_the_end_that_is_too_close() -> None:
    assert steady_limits((0, 2.5), (0.3, 2.7), Axis()) == (0, 3)
    assert steady_limits((0, 2.5), (-0.3, 2.4), Axis()) == (-1, 2.5)


def test_limits_too_wide_for_their_data_are_set_anew() -> None:
    assert steady_limits((0, 100), (0.3, 2.1), Axis()) == (0, 2.5)
    assert steady_limits((0, 2.5), (400, 500), Axis()) == (400, 500)


def test_steady_limits_of_a_logarithmic_axis_count_in_decades() -> None:
    axis = Axis(log=True)
    assert steady_limits((1e-4, 1), (1e-3, 0.9), axis) == (1e-4, 1)
    assert steady_limits((1e-9, 1), (0.1, 0.9), axis) == pytest.approx((0.1, 1))


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=8))
def test_steady_limits_always_hold_what_is_wanted(history: list[Limits]) -> None:
    limits: Limits | None = None
    for a, b in history:
        low, high = sorted((a, b))
        limits = steady_limits(limits, (low, high), Axis())
        slack = 1e-5 * (limits[1] - limits[0])
        assert limits[0] - slack <= low <= high <= limits[1] + slack
        assert steady_limits(limits, (low, high), Axis()) == limits


@pytest.mark.parametrize(
    ("limits", "log", "expected"),
    [
        ((2, 1), False, (1, 2)),
        ((3, 3), False, (2.7, 3.3)),
        ((0, 0), False, (-0.5, 0.5)),
        ((float("-inf"), float("inf")), False, (-1e300, 1e300)),
        ((-1, 10), True, (0.01, 10)),
        ((5, 5), True, (2.5, 10)),
    ],
)
def test_limits_that_cannot_be_drawn_are_mended(limits: Limits, log: bool, expected: Limits) -> None:
    assert usable(limits, log) == pytest.approx(expected)


def test_panning_stops_at_the_data() -> None:
    assert pan((40, 60), 0.5, (0, 200)) == (50, 70)
    assert pan((40, 60), -9, (0, 200)) == (0, 20)
    assert pan((40, 60), 99, (0, 200)) == (180, 200)
    assert pan((-50, 400), 0.1, (0, 200)) == (0, 200)
    assert pan((0.01, 0.1), 1, (0.001, 1), log=True) == pytest.approx((0.1, 1))


def test_zooming_keeps_its_place_and_stays_within_the_data() -> None:
    assert zoom((0, 200), 2, 50, (0, 200)) == (25, 125)
    assert zoom((25, 125), 0.5, 50, (0, 200)) == (0, 200)
    assert zoom((0, 100), 0.5, 0, (0, 150)) == (0, 150)
    assert zoom((0, 200), 1e9, 50, (0, 200), least=4) == pytest.approx((49, 53))
    assert zoom((0.001, 1), 3, 0.1, (0.001, 1), log=True) == pytest.approx((10 ** (-1 - 2 / 3), 10 ** (-2 / 3)))
    with pytest.raises(ValueError, match="more than 0"):
        zoom((0, 1), 0, 0.5, (0, 1))


@given(
    st.tuples(ANY, ANY),
    st.floats(0.01, 100),
    st.floats(-5, 5),
    ANY.filter(lambda at: not math.isnan(at)),
    st.booleans(),
)
def test_pan_and_zoom_never_leave_the_data(limits: Limits, factor: float, share: float, at: float, log: bool) -> None:
    within = (1.0, 200.0)
    for low, high in (pan(limits, share, within, log), zoom(limits, factor, at, within, log)):
        assert 1 - 1e-9 <= low < high <= 200 * (1 + 1e-9)
