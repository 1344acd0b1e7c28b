"""Curves over exactly common epochs, and the charts made of them."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from compared import epoch_ends, write_events, write_run
from hypothesis import given
from hypothesis import strategies as st
from samples import started

from domcli.compare import compare, select
from domcli.compare.curves import QUANTITIES, Curve, Quantity, curve
from domcli.compare.groups import Group
from domcli.compare.svg import HEIGHT, WIDTH, Axis, chart
from domcli.events import Finished

BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}


def group(folder: Path, at_epoch: int | None = None) -> Group:
    (only,) = compare(select(folder, ["*"]), at_epoch=at_epoch).groups
    return only


def some(name: str, found: Group) -> Curve:
    drawn = curve(found, BY_NAME[name])
    assert drawn is not None
    return drawn


def test_mean_and_deviation_of_every_epoch(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, accuracies=[(0.5, 0.25), (0.75, 0.5)])
    write_run(tmp_path, seed=1, accuracies=[(0.5, 0.25), (0.25, 0.25)])
    found = some("pgd", group(tmp_path))
    assert (found.epochs, found.n, found.mean) == ((1, 2), 2, (25.0, 37.5))
    assert found.std == (0.0, pytest.approx(12.5 * math.sqrt(2)))


def test_only_epochs_that_every_run_has(tmp_path: Path) -> None:
    every = ["evaluation.every=2"]
    for seed, tested in enumerate(((2, 4), (2, 3, 4))):
        run = write_run(tmp_path, seed=seed, accuracies=[(0.5, 0.25)] * 4, changes=every)
        ends = [
            end if end.epoch in tested else msgspec.structs.replace(end, test=None)
            for end in epoch_ends([(0.5, 0.25)] * 4)
        ]
        write_events(run, [started(epochs=4), *ends], Finished(seconds=1.0))
    found = group(tmp_path)
    assert some("pgd", found).epochs == (2, 4)
    assert some("high-confidence", found).epochs == (1, 2, 3, 4)


def test_patterns_from_the_end_of_the_warm_up(tmp_path: Path) -> None:
    write_run(tmp_path)
    found = some("transformed", group(tmp_path))
    assert (found.epochs, found.mean, found.std) == ((2, 3), (10.0, 20.0), None)


def test_curves_end_at_the_epoch_asked_for(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert some("natural", group(tmp_path, at_epoch=2)).epochs == (1, 2)


def test_what_was_not_measured_has_no_curve(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert curve(group(tmp_path), BY_NAME["one-step"]) is None
    assert curve(Group("empty", {}, ()), BY_NAME["natural"]) is None


def test_a_chart_has_a_line_and_a_band_for_each_curve() -> None:
    quantity = Quantity("natural", "Accuracy & more", "%", lambda end: None)
    curves = [
        Curve("a < b", quantity, 3, (1, 2, 3), (10.0, 20.0, 30.0), (1.0, 2.0, 3.0)),
        Curve("single", quantity, 1, (1, 2), (15.0, 25.0), None),
        Curve("point", quantity, 1, (2,), (12.0,), None),
    ]
    picture = ET.fromstring(chart(curves, [0, 4, 7]))
    lines = picture.findall("polyline")
    assert [line.get("class") for line in lines] == ["line s0", "line s4"]
    assert [line.findtext("title") for line in lines] == ["a < b (n = 3)", "single (n = 1)"]
    assert [band.get("class") for band in picture.findall("polygon")] == ["band s0"]
    assert [dot.get("class") for dot in picture.findall("circle")] == ["dot s7"]
    assert picture.get("aria-label") == "Accuracy & more, %"
    points = [tuple(map(float, point.split(","))) for point in str(lines[0].get("points")).split()]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[0][1] > points[1][1] > points[2][1], "higher values stand higher"
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.2)


def test_epochs_are_counted_in_whole_numbers() -> None:
    quantity = Quantity("natural", "Accuracy", "%", lambda end: None)
    picture = chart([Curve("a", quantity, 1, (1, 2), (10.0, 10.0), None)], [0])
    labels = re.findall(r'text-anchor="middle">([^<]*)<', picture)
    assert labels == ["1", "2", "epoch"]


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e6))
def test_an_axis_holds_what_it_was_made_for(low: float, size: float) -> None:
    high = low + size
    axis = Axis(low, high, 0.0, 100.0)
    assert axis.low <= low + 1e-9 * (abs(low) + size)
    assert axis.high >= high - 1e-9 * (abs(high) + size)
    assert 2 <= len(axis.ticks) <= 13
    assert len({axis.label(tick) for tick in axis.ticks}) == len(axis.ticks)
