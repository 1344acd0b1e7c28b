from __future__ import annotations

import re
from pathlib import Path

import pytest
from compared import STOPPED, seeds, write_run

from domcli.compare import compare, select
from domcli.compare.assertions import check, parse
from domcli.compare.errors import ComparisonError
from domcli.compare.groups import Group


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Group, ...]:
    """PGD at last: pgd-baseline 45 % (n = 2), pgd-dom-re 50 % (n = 3), the same with another T 50.001 %."""
    seeds(tmp_path, "pgd-baseline", [0.5, 0.6])
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6, 0.7])
    seeds(tmp_path, "pgd-augmix", [0.60001])
    write_run(tmp_path, "pgd-randaugment", ending=STOPPED)
    return compare(select(tmp_path, ["*"])).groups


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("pgd.last: pgd-dom-re > pgd-baseline", True),
        ("pgd.last: pgd-baseline > pgd-dom-re", False),
        ("pgd.last: pgd-baseline < pgd-dom-re", True),
        ("pgd.last:pgd-dom-re>pgd-baseline", True),
        ("pgd.last: pgd-dom-re > pgd-baseline + 4", True),
        ("pgd.last: pgd-dom-re > pgd-baseline + 6", False),
        ("pgd.last: pgd-baseline > pgd-dom-re - 6", True),
        ("pgd.last: pgd-dom-re > 49", True),
        ("pgd.last: pgd-dom-re > 51", False),
        ("pgd.last: pgd-dom-re <= 51.5", True),
        ("natural.diff: pgd-dom-re <= 10.001", True),
        ("natural.diff: pgd-dom-re >= 10.001", False),
        ("pgd.best: pgd-dom-re < pgd-augmix", True),
        ("pgd.best: pgd-dom-re >= pgd-augmix", False),
        ("pgd.diff: pgd-dom < -3", False),
        ("natural.best: pgd-dom-re > natural", None),
    ],
)
def test_means_are_compared(groups: tuple[Group, ...], expression: str, holds: bool | None) -> None:
    if holds is None:
        with pytest.raises(ComparisonError, match="'natural' is no group"):
            check(parse(expression), groups)
    else:
        assert check(parse(expression), groups).holds is holds


def test_the_sentence_has_both_numbers_and_how_many_seeds(groups: tuple[Group, ...]) -> None:
    text = "pgd.last: pgd-baseline > pgd-dom-re"
    assert check(parse(text), groups).sentence == (
        f"'{text}' does not hold: 45.00 % (n = 2) is not greater than 50.00 % (n = 3)"
    )
    text = "pgd.last: pgd-dom-re >= pgd-baseline + 1.5"
    assert check(parse(text), groups).sentence == (
        f"'{text}' holds: 50.00 % (n = 3) is at least 45.00 % (n = 2) +1.5 = 46.50 %"
    )


def test_numbers_that_round_to_the_same_are_shown_apart(groups: tuple[Group, ...]) -> None:
    sentence = check(parse("pgd.best: pgd-dom-re > pgd-augmix"), groups).sentence
    assert "60.000000 %" in sentence
    assert "60.001000 %" in sentence


@pytest.mark.parametrize("expression", ["pgd.last: pgd-randaugment > 1", "pgd.last: pgd-randaugment < 100"])
def test_what_was_not_measured_does_not_hold(groups: tuple[Group, ...], expression: str) -> None:
    verdict = check(parse(expression), groups)
    assert not verdict.holds
    assert "pgd-randaugment has no run that counts" in verdict.sentence


def test_what_lacks_on_both_sides_is_told_apart(groups: tuple[Group, ...]) -> None:
    sentence = check(parse("aa.last: pgd-dom-re > pgd-baseline"), groups).sentence
    assert re.search(r"pgd-dom-re has no aa\.last, but [^;]*; pgd-baseline has no aa\.last", sentence)


def test_a_metric_that_nobody_measured_does_not_hold(groups: tuple[Group, ...]) -> None:
    verdict = check(parse("aa.best: pgd-dom-re > 0"), groups)
    assert not verdict.holds
    assert "pgd-dom-re has no aa.best" in verdict.sentence


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "cannot read"),
        ("pgd.last pgd-dom-re > 1", "cannot read"),
        ("pgd.last: pgd-dom-re = 1", "cannot read"),
        ("pgd.last: > 1", "cannot read"),
        ("pgd.last: pgd-dom-re >", "cannot read"),
        ("pgd.last: pgd-dom-re > > 1", "cannot read"),
        ("robust.last: pgd-dom-re > 1", "'robust.last' is not known; it is natural, pgd, one-step, aa or"),
        ("pgd: pgd-dom-re > 1", "'pgd' does not say of which epoch; write pgd.best or pgd.last"),
        ("aa: pgd-dom-re > 1", "'aa' does not say of which epoch; write aa.best or aa.last"),
        ("pgd-50-10: pgd-dom-re > 1", "'pgd-50-10' does not say of which epoch; write pgd-50-10.best"),
        ("pgd-50-.last: pgd-dom-re > 1", "'pgd-50-.last' is not known"),
        ("pgd.middle: pgd-dom-re > 1", "'pgd.middle' is not known"),
    ],
)
def test_what_cannot_be_read_is_an_error(expression: str, problem: str) -> None:
    with pytest.raises(ComparisonError, match=problem) as raised:
        parse(expression)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("pgd.last: pgd > 1", "'pgd' fits several groups; there are: pgd-"),
        ("pgd.last: fgsm > 1", "'fgsm' is no group; there are: pgd-"),
        ("pgd.last: pgd-dom-re > pgd-baseline + x", "the margin 'x' is not a number"),
        ("pgd.last: pgd-dom-re > nan", "'nan' is no group"),
    ],
)
def test_groups_that_are_not_there_are_an_error(groups: tuple[Group, ...], expression: str, problem: str) -> None:
    with pytest.raises(ComparisonError, match=problem):
        check(parse(expression), groups)


@pytest.mark.parametrize("left", ["mine-base", "mine-base-seed1", "mine-b"])
@pytest.mark.parametrize("right", ["mine", "mine (quick)"])
def test_groups_are_known_by_the_names_that_were_given(tmp_path: Path, left: str, right: str) -> None:
    of = {"preset": "mine", "quick": True}
    for seed in (0, 1):
        write_run(tmp_path, "pgd-baseline", seed, [(0.5, 0.5)], name=f"mine-base-seed{seed}", environment=of)
    write_run(tmp_path, "pgd-dom-re", environment=of, accuracies=[(0.5, 0.4)])
    groups = compare(select(tmp_path, ["*"])).groups
    assert check(parse(f"pgd.last: {left} > {right}"), groups).holds


def test_a_name_with_a_sign_in_it_is_no_margin(tmp_path: Path) -> None:
    write_run(tmp_path, "pgd-dom-re", environment={"preset": "a + 1"}, accuracies=[(0.5, 0.5)])
    write_run(tmp_path, "pgd-baseline", environment={"preset": "a"}, accuracies=[(0.5, 0.4)])
    groups = compare(select(tmp_path, ["*"])).groups
    assert check(parse("pgd.last: a < a + 1"), groups).sentence.endswith("40.00 % (n = 1) is less than 50.00 % (n = 1)")
