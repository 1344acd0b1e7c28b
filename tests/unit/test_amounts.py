"""Shares, times and dates for people, of any number; and that nothing else writes them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import domcli
from domcli import amounts
from domcli.cli import figures
from domcli.compare import sheets
from domcli.dashboard import list_columns, words

ANY = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([1e20, -1e18, 1e300, 10**400, -(10**400), math.nan, math.inf, -math.inf]),
)


@given(ANY)
def test_any_number_is_written_as_a_time_and_as_a_date(value: float) -> None:
    for write in (figures.duration, sheets.duration, words.duration, list_columns.short_time, amounts.duration):
        assert 0 < len(write(value)) <= 20
    assert 0 < len(amounts.date(value)) <= 16


@given(st.floats(), st.floats())
def test_any_two_numbers_are_written_as_a_share(part: float, whole: float) -> None:
    assert re.fullmatch(r"\?|[<>]?\d+ %", amounts.share(part, whole))


@pytest.mark.parametrize("value", [1e20, -1e18, -1.0, 1e300, math.nan, math.inf, 10**400])
def test_what_cannot_be_a_time_is_said_to_be_unknown(value: float) -> None:
    assert amounts.duration(value) == "?"
    assert amounts.date(value) == "?"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00:00"), (59.6, "0:01:00"), (3661, "1:01:01"), (90_061, "1 d 1:01:01")]
)
def test_times_are_rounded_to_seconds(seconds: float, expected: str) -> None:
    assert amounts.duration(seconds) == expected


def test_dates_and_shares_are_written_in_one_place() -> None:
    """Neither fails on what a damaged file holds; a second way of writing them would."""
    package = Path(domcli.__file__).parent
    elsewhere = re.compile(r"localtime|gmtime|strftime|fromtimestamp|100 \* [^\n]* // |int\(100 \*")
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "trainer" not in path.parts and elsewhere.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"amounts.py"}
