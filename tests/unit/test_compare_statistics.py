"""The statistics of domcli.compare against those of scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from domcli.compare.statistics import (
    MOST_SEEDS,
    NORMAL_QUANTILE,
    Summary,
    paired,
    student_quantile,
    student_tail,
    summarise,
    welch,
)

FREEDOMS = (0.3, 1, 1.5, 2, 2.7, 3, 5, 10, 29, 49.9, 99, 101, 333, 1e3, 1e4, 1e5, 1e6)
ACCURACIES = st.lists(st.floats(0, 100).map(lambda value: round(value, 4)), min_size=2, max_size=8)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_the_tail_is_that_of_student(freedom: float) -> None:
    for t in [*np.logspace(-6, 6, 61), *np.arange(0.1, 30, 0.37)]:
        expected = stats.t.sf(t, freedom)
        if expected > 1e-250:
            assert student_tail(float(t), freedom) == pytest.approx(expected, rel=1e-9)
            assert student_tail(-float(t), freedom) == pytest.approx(stats.t.sf(-t, freedom), rel=1e-9)


def test_the_tail_near_its_middle() -> None:
    assert student_tail(0.0, 3) == 0.5
    # One degree of freedom is the Cauchy distribution, whose tail is known exactly.
    assert student_tail(1e-8, 1) == pytest.approx(0.5 - 1e-8 / math.pi, rel=1e-15)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_the_quantile_is_the_inverse_of_the_tail(freedom: float) -> None:
    for upper in (1e-12, 1e-9, 1e-6, 1e-3, 0.005, 0.025, 0.05, 0.1, 0.25, 0.4, 0.49, 0.6, 0.9, 0.975, 0.999):
        t = student_quantile(upper, freedom)
        assert student_tail(t, freedom) == pytest.approx(upper, rel=1e-9)
        assert t == pytest.approx(stats.t.isf(upper, freedom), rel=1e-9)


def test_the_quantile_at_its_limits() -> None:
    assert student_quantile(0.5, 4) == 0.0
    assert student_quantile(0.025, 1e9) == pytest.approx(NORMAL_QUANTILE, rel=1e-7)
    assert stats.norm.isf(0.025) == pytest.approx(NORMAL_QUANTILE, rel=1e-12)
    with pytest.raises(ValueError, match="between 0 and 1"):
        student_quantile(1.0, 4)


def test_mean_and_sample_deviation() -> None:
    assert summarise([]) == Summary(0, None, None)
    assert summarise([3.5]) == Summary(1, 3.5, None)
    assert summarise([1.0, 2.0, 6.0]) == Summary(3, 3.0, pytest.approx(np.std([1, 2, 6], ddof=1)))


def test_equal_values_have_no_spread() -> None:
    assert summarise([52.31, 52.31, 52.31]).std == 0.0
    found = paired([52.31, 52.41, 47.7], [50.11, 50.21, 45.5])  # 2.2 each, but for rounding
    assert (found.interval, found.p, found.more_seeds) == (None, None, None)
    assert found.value == pytest.approx(2.2)


@settings(max_examples=60)
@given(ACCURACIES, st.data())
def test_the_paired_test_is_that_of_scipy(a: list[float], data: st.DataObject) -> None:
    b = data.draw(st.lists(st.floats(0, 100).map(lambda value: round(value, 4)), min_size=len(a), max_size=len(a)))
    found = paired(a, b)
    differences = np.subtract(a, b)
    assert (found.method, found.n) == ("paired", (len(a), len(a)))
    assert found.value == pytest.approx(differences.mean(), abs=1e-9)
    if differences.std(ddof=1) < 1e-6:
        return
    expected = stats.ttest_rel(a, b)
    limits = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.interval == pytest.approx((limits.low, limits.high), rel=1e-6, abs=1e-9)


@settings(max_examples=60)
@given(ACCURACIES, ACCURACIES)
def test_the_independent_test_is_welchs(a: list[float], b: list[float]) -> None:
    found = welch(summarise(a), summarise(b))
    assert (found.method, found.n) == ("Welch", (len(a), len(b)))
    if min(np.std(a), np.std(b)) < 1e-6:
        return
    expected = stats.ttest_ind(a, b, equal_var=False)
    limits = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.interval == pytest.approx((limits.low, limits.high), rel=1e-6, abs=1e-9)


def test_one_side_without_spread_is_known_exactly() -> None:
    found = welch(summarise([1.0, 2.0, 3.0]), Summary(3, 0.0, 0.0))
    expected = stats.ttest_1samp([1.0, 2.0, 3.0], 0.0)
    assert found.p == pytest.approx(expected.pvalue)


def test_a_single_value_gives_a_difference_and_no_more() -> None:
    found = welch(summarise([3.0]), summarise([1.0, 2.0]))
    assert (found.value, found.n, found.interval, found.p, found.more_seeds) == (1.5, (1, 2), None, None, None)
    assert paired([3.0], [1.0]).interval is None


@pytest.mark.parametrize("shift", [0.3, 0.6, 1.0, 2.0])
def test_more_seeds_are_the_fewest_that_separate(shift: float) -> None:
    a, b = [50.1, 51.3, 50.4], [50.0, 49.9, 50.6]
    a = [value + shift for value in a]
    more = paired(a, b).more_seeds
    assert more is not None
    differences = np.subtract(a, b)

    def p(added: int) -> float:
        n = len(a) + added
        return float(2 * stats.t.sf(abs(differences.mean()) / (differences.std(ddof=1) / math.sqrt(n)), n - 1))

    assert p(more) <= 0.05
    assert more == 0 or p(more - 1) > 0.05


def test_more_seeds_of_two_groups_of_different_size() -> None:
    a, b = summarise([50.0, 52.0, 51.0, 53.0]), summarise([50.0, 51.0])
    more = welch(a, b).more_seeds
    assert more is not None
    assert more > 0
    assert a.mean is not None
    assert b.mean is not None

    def p(added: int) -> float:
        return float(
            stats.ttest_ind_from_stats(a.mean, a.std, a.n + added, b.mean, b.std, b.n + added, equal_var=False).pvalue
        )

    assert p(more) <= 0.05 < p(more - 1)


def test_no_number_of_seeds_separates_equal_means() -> None:
    assert paired([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]).more_seeds is None
    tiny = paired([0.0, 100.0, 50.001], [100.0, 0.0, 50.0])
    assert tiny.value == pytest.approx(0.001 / 3)
    assert tiny.more_seeds is None, f"more than {MOST_SEEDS}"


def test_separated_groups_need_no_more_seeds() -> None:
    assert paired([60.0, 61.0, 62.0], [50.0, 51.1, 51.9]).more_seeds == 0


def test_there_must_be_something_to_compare() -> None:
    with pytest.raises(ValueError, match="no pair"):
        paired([], [])
    with pytest.raises(ValueError, match="no value"):
        welch(summarise([]), summarise([1.0]))
