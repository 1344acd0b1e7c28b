from __future__ import annotations

import numpy as np
import pytest

from domcli.charts import Axis, Chart, Picture, Span, Stack, Style, draw
from domcli.charts.stacked import columns_of

NAN = float("nan")
FOUR = Stack(np.arange(1, 5.0), np.array([[1, 0, 0], [1, 1, 0], [NAN, 1, 1], [1, 1, 2]]), ("low", "mid", "high"))


def lines(picture: Picture) -> list[str]:
    return picture.text.split("\n")


def test_parts_are_stacked_from_below_with_a_shading_each() -> None:
    assert lines(draw(Chart(stack=FOUR), 10, 4)) == ["██▓▓▓   ▒▒", "██▓▓▓   ▒▒", "█████   ▓▓", "█████   ██"]


def test_parts_are_told_apart_in_ascii() -> None:
    assert lines(draw(Chart(stack=FOUR), 10, 4, ascii=True)) == ["##%%%   ++", "##%%%   ++", "#####   %%", "#####   ##"]


def test_solid_parts_share_a_cell_to_an_eighth() -> None:
    stack = Stack(np.array([1.0, 2]), np.array([[5.0, 11], [8, 8]]), ("low", "high"), (3, 4), solid=True)
    picture = draw(Chart(stack=stack), 4, 2)
    assert picture.rows == (
        (Span("████", Style(4)),),
        (Span("▅▅", Style(3, back=4)), Span("██", Style(3))),
    )


def test_a_part_keeps_its_colour() -> None:
    picture = draw(Chart(stack=FOUR), 10, 1)
    assert [(span.text, span.style) for span in picture.rows[0]] == [
        ("██", Style(0)),
        ("▓▓▓   ", Style(1)),
        ("▒▒", Style(2)),
    ]


def test_a_column_of_many_epochs_shows_their_mean() -> None:
    low = np.tile([1.0, 0.0, NAN], 100)
    stack = Stack(np.arange(300.0), np.stack([low, 1 - low], axis=1), ("low", "high"))
    np.testing.assert_allclose(columns_of(stack, (0, 299), 10), 0.5, atol=0.05)


def test_every_column_sums_to_one_or_is_a_gap() -> None:
    shares = np.random.default_rng(0).random((77, 5))
    shares[30:40] = NAN
    found = columns_of(Stack(np.arange(77.0), shares, ("",) * 5), (0, 76), 60)
    gap = np.isnan(found).all(axis=1)
    np.testing.assert_allclose(found[~gap].sum(axis=1), 1)
    assert np.flatnonzero(gap).tolist() == list(range(24, 31))


def test_epochs_without_proportions_in_between_are_a_gap() -> None:
    stack = Stack(np.array([1.0, 2, 3, 9]), np.ones((4, 1)), ("all",))
    shown = np.isfinite(columns_of(stack, (1, 9), 9)).all(axis=1)
    assert shown.tolist() == [True, True, True, False, False, False, False, False, True]


def test_the_axis_of_proportions_goes_from_0_to_1_and_the_legend_names_them() -> None:
    shown = lines(draw(Chart(stack=FOUR, y=Axis("percent"), title="Loss"), 50, 12))
    assert shown[0].rstrip() == "Loss  ██ low  ▓▓ mid  ▒▒ high"
    assert shown[1].startswith("100%┤")
    assert shown[-3].startswith("  0%┤")


@pytest.mark.parametrize("epochs", [0, 1])
def test_none_and_one_epoch(epochs: int) -> None:
    stack = Stack(np.arange(1.0, epochs + 1), np.ones((epochs, 2)), ("a", "b"))
    text = draw(Chart(stack=stack), 12, 4).text
    assert ("▓" in text) == (epochs == 1)
    assert ("no data" in text) == (epochs == 0)
