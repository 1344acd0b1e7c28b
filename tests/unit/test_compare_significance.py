from __future__ import annotations

from pathlib import Path

import pytest
from compared import seeds, write_run
from scipy import stats

from domcli.compare import compare, select
from domcli.compare.records import Metric, Point
from domcli.compare.significance import Contrast


def contrast(folder: Path, metric: Metric, point: Point, *patterns: str, error: bool = False) -> Contrast:
    found = compare(select(folder, patterns or ["pgd-baseline", "pgd-dom-re"]), error=error).contrasts
    (only,) = [one for one in found if (one.metric, one.point) == (metric, point)]
    return only


def test_the_same_seeds_are_paired(tmp_path: Path) -> None:
    a, b = [0.52, 0.55, 0.51], [0.50, 0.51, 0.505]
    seeds(tmp_path, "pgd-baseline", b)
    seeds(tmp_path, "pgd-dom-re", a)
    found = contrast(tmp_path, "pgd", "best")
    expected = stats.ttest_rel([100 * value for value in a], [100 * value for value in b])
    assert (found.group, found.baseline) == ("pgd-dom-re", "pgd-baseline")
    assert (found.difference.method, found.difference.n) == ("paired", (3, 3))
    assert found.difference.value == pytest.approx(6.5 / 3)
    assert found.difference.p == pytest.approx(expected.pvalue)


def test_seeds_are_paired_by_number_not_by_place(tmp_path: Path) -> None:
    for seed, accuracy in ((0, 0.3), (1, 0.4), (2, 0.6)):
        write_run(tmp_path, "pgd-baseline", seed, [(0.5, accuracy)])
    for seed, accuracy in ((2, 0.61), (0, 0.32), (1, 0.43)):
        write_run(tmp_path, "pgd-dom-re", seed, [(0.5, accuracy)])
    difference = contrast(tmp_path, "pgd", "last").difference
    assert difference.p == pytest.approx(stats.ttest_1samp([2, 3, 1], 0).pvalue)


@pytest.mark.parametrize("accuracies", [[0.52, 0.55], [0.52, 0.55, 0.51, 0.53]])
def test_other_seeds_are_not(tmp_path: Path, accuracies: list[float]) -> None:
    b = [0.50, 0.51, 0.505]
    seeds(tmp_path, "pgd-baseline", b)
    seeds(tmp_path, "pgd-dom-re", accuracies)
    difference = contrast(tmp_path, "pgd", "best").difference
    expected = stats.ttest_ind([100 * value for value in accuracies], [100 * value for value in b], equal_var=False)
    assert (difference.method, difference.n) == ("Welch", (len(accuracies), 3))
    assert difference.p == pytest.approx(expected.pvalue)
    assert difference.interval == pytest.approx(expected.confidence_interval(0.95))


def test_the_difference_is_that_of_the_means_shown(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-baseline", [0.5, 0.6, 0.7])
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6, 0.7, 0.9])
    found = compare(select(tmp_path, ["pgd-baseline", "pgd-dom-re"]))
    baseline, group = (one.summary("pgd", "best").mean for one in found.groups)
    assert baseline is not None
    assert group is not None
    assert contrast(tmp_path, "pgd", "best").difference.value == pytest.approx(group - baseline)


def test_errors_turn_the_sign(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-baseline", [0.5, 0.6])
    seeds(tmp_path, "pgd-dom-re", [0.7, 0.9])
    as_accuracy, as_error = (contrast(tmp_path, "pgd", "best", error=error).difference for error in (False, True))
    assert as_error.value == pytest.approx(-as_accuracy.value)
    assert as_error.p == pytest.approx(as_accuracy.p)


def test_every_group_is_compared_with_the_first(tmp_path: Path) -> None:
    for preset in ("pgd-baseline", "pgd-dom-re", "pgd-augmix"):
        seeds(tmp_path, preset, [0.5, 0.6])
    found = compare(select(tmp_path, ["pgd-augmix", "pgd-baseline", "pgd-dom-re"])).contrasts
    pairs = [(one.group, one.baseline) for one in found if (one.metric, one.point) == ("pgd", "best")]
    assert pairs == [("pgd-baseline", "pgd-augmix"), ("pgd-dom-re", "pgd-augmix")]


def test_what_only_one_group_has_is_not_compared(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6])
    write_run(tmp_path, "natural-dom-re", accuracies=[(0.9, None)])
    found = compare(select(tmp_path, ["*"])).contrasts
    assert {one.metric for one in found} == {"natural"}
    assert all(one.difference.interval is None for one in found)


def test_one_group_is_compared_with_none(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6])
    assert compare(select(tmp_path, ["*"])).contrasts == ()
