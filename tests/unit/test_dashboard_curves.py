"""From runs to charts: what is shown, where it is marked, what the cursor reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from overfitting_curves import Point, cyclical, event, healthy_pgd, line, piecewise
from samples import progress, started

from domcli.charts import Chart, Series, Style
from domcli.dashboard.columns import Tables, table_of
from domcli.dashboard.curves import KINDS, View, chart_of
from domcli.dashboard.marks import marks_of
from domcli.dashboard.palette import ANSI_DARK, ANSI_LIGHT, DARK, LIGHT, NONE, Palette, run_colour
from domcli.dashboard.shown import Shown
from domcli.dashboard.viewer import HISTORY, Viewer
from domcli.dashboard.widgets.frame import lower_edge
from domcli.devices import Gpu
from domcli.events import EpochEnd
from domcli.overfitting import Finding
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.runstate import RunState

SETTINGS: dict[str, Any] = {
    "train": {"epochs": 200},
    "evaluation": {"steps": 20},
    "dom": {"operate": "remove", "warmup": 0.5},
}
KIND = {kind.key: kind for kind in KINDS}


def shown(
    points: Sequence[Point | EpochEnd],
    name: str = "run",
    colour: int = 0,
    planned: int = 200,
    settings: dict[str, Any] | None = None,
    status: Any = "finished",
    **more: Any,
) -> Shown:
    ends = tuple(event(n, p) if isinstance(p, Point) else p for n, p in enumerate(points, 1))
    state = RunState(started=started(epochs=planned), epochs=ends)
    run = Run(RunDirectory(Path("runs") / name), state, status, settings=SETTINGS if settings is None else settings)
    return Shown(run, colour, name, more.pop("group", "a setting"), **more)


def longer(one: Shown, *points: Point) -> Shown:
    ends = one.run.state.epochs
    ends = (*ends, *(event(len(ends) + n, point) for n, point in enumerate(points, 1)))
    return replace(one, run=replace(one.run, state=replace(one.run.state, epochs=ends)))


def with_progress(one: Shown, epoch: int, step: int, loss: float | None = 0.75) -> Shown:
    now = msgspec.structs.replace(progress(epoch, step), natural_loss=loss, robust_loss=None)
    return replace(one, run=replace(one.run, state=replace(one.run.state, progress=now), status="running"))


def chart(key: str, *runs: Shown, view: View | None = None) -> Chart:
    return chart_of(KIND[key], runs, Tables(), view or View(), (0.0, 200.0))


def drawn(found: Chart) -> list[Series]:
    """The series with points, without the samples for the legend."""
    return [series for series in found.series if series.x.size]


def names(found: Chart) -> list[tuple[str, object, str]]:
    return [(series.name, series.colour, series.line) for series in found.series if series.name]


def viewer(*runs: Shown) -> Viewer:
    made = Viewer()
    made.show(runs)
    return made


FGSM = [Point(0.4, 0.2, 0.3), Point(0.5, 0.25, 0.35), Point(0.6, 0.3, 0.4)]


def test_the_accuracies_of_a_run_differ_by_line_and_have_its_colour() -> None:
    found = chart("accuracy", shown(FGSM, colour=3))
    assert names(found) == [("natural", 3, "solid"), ("PGD-20", 3, "dashed"), ("one-step", 3, "dotted")]
    lines = {series.line: series for series in drawn(found)}
    assert lines["solid"].y.tolist() == [0.4, 0.5, 0.6]
    assert lines["dashed"].y.tolist() == [0.2, 0.25, 0.3]
    assert lines["dotted"].y.tolist() == [0.3, 0.35, 0.4]
    assert {series.colour for series in drawn(found)} == {3}


def test_of_several_runs_the_legend_says_which_line_is_what_and_which_colour_is_which() -> None:
    found = chart("accuracy", shown(FGSM, "one", 0), shown(FGSM, "other", 1))
    assert names(found) == [
        ("natural", "text", "solid"),
        ("PGD-20", "text", "dashed"),
        ("one-step", "text", "dotted"),
        ("one", 0, "solid"),
        ("other", 1, "solid"),
    ]
    assert [series.colour for series in drawn(found)] == [1, 1, 1, 0, 0, 0]  # the first run over the other


def test_what_was_not_measured_is_a_gap_and_a_curve_that_nobody_has_is_not_there() -> None:
    found = chart("accuracy", shown([Point(0.4, 0.2), replace(Point(0.5, 0.3), tested=False), Point(0.6, 0.4)]))
    assert [name for name, _, _ in names(found)] == ["natural", "PGD-20"]
    for series in drawn(found):
        assert np.isfinite(series.y).tolist() == [True, False, True]


def test_runs_that_were_evaluated_differently_have_no_common_name_for_it() -> None:
    other = shown(FGSM, "other", settings={"evaluation": {"steps": 50}})
    assert "PGD" in [name for name, _, _ in names(chart("accuracy", shown(FGSM), other))]


def test_natural_training_has_no_adversarial_loss() -> None:
    found = chart("loss", shown([Point(0.5, loss=1.25), Point(0.5, loss=float("nan"))]))
    (series,) = drawn(found)
    assert series.y[0] == 1.25
    assert np.isnan(series.y[1])


def test_patterns_are_counted_and_split_after_the_warm_up() -> None:
    points = [Point(0.5, high=0.2), Point(0.5, high=0.5, transformed=0.1)]
    found = chart("patterns", shown(points))
    lines = {series.line: series.y.tolist() for series in drawn(found)}
    assert lines["solid"] == [10_000, 25_000]
    assert lines["dashed"][1:] == [5_000]
    assert lines["dotted"][1:] == [20_000]
    assert np.isnan([lines["dashed"][0], lines["dotted"][0]]).all()
    assert found.y.label == "of 100"


def test_removed_and_augmented_patterns_are_shown_by_those_that_do_it() -> None:
    ends = [event(n, Point(0.5)) for n in (1, 2)]
    assert ends[1].memorization is not None
    removing = msgspec.structs.replace(ends[1], memorization=msgspec.structs.replace(ends[1].memorization, removed=7))
    (series,) = drawn(chart("distracted", shown([ends[0], removing])))
    assert series.y.tolist() == [0, 7]
    assert drawn(chart("distracted", shown(ends))) == []


def test_loss_ranges_are_proportions_of_the_first_run_that_has_them() -> None:
    imported = shown([msgspec.structs.replace(event(1, Point(0.5)), memorization=None)], "imported")
    ours = shown([Point(0.5, high=0.25), Point(0.5, high=0.5)], "ours")
    stack = chart("ranges", imported, ours).stack
    assert stack is not None
    assert stack.shares[:, 0].tolist() == [0.25, 0.5]
    assert stack.shares[:, -1].tolist() == [0.75, 0.5]
    assert stack.names == ("0–0.5", "0.5–1", "1–1.5", "1.5–2", "2–2.5", "≥2.5")
    assert "ours" in chart("ranges", imported, ours).title
    assert chart("ranges", imported).is_empty()


def test_x_is_epochs_steps_or_hours_of_training_and_evaluation() -> None:
    points = [Point(0.4, 0.2), Point(0.5, 0.3)]
    by = {axis: drawn(chart("accuracy", shown(points), view=View(axis=axis)))[0].x.tolist()
          for axis in ("epochs", "steps", "hours")}  # fmt: skip
    assert by["epochs"] == [1, 2]
    assert by["steps"] == [4, 8]
    assert by["hours"] == pytest.approx([4 / 3600, 8 / 3600])


def test_smoothing_keeps_the_raw_line_and_leaves_the_learning_rate_alone() -> None:
    points = [Point(a, lr=lr) for a, lr in ((0.2, 0.1), (0.6, 0.01))]
    (series,) = drawn(chart("accuracy", shown(points), view=View(smoothing=0.5)))
    assert series.raw is not None
    assert series.raw.tolist() == [0.2, 0.6]
    assert 0.2 < series.y[1] < 0.6
    (rate,) = drawn(chart("lr", shown(points), view=View(smoothing=0.5)))
    assert rate.raw is None
    assert rate.y.tolist()[::3] == [0.1, 0.01]


def test_only_charts_for_which_it_makes_sense_become_logarithmic() -> None:
    view = View(log=True)
    assert chart("loss", shown(FGSM), view=view).y.log
    assert not chart("accuracy", shown(FGSM), view=view).y.log


def test_seeds_become_a_mean_with_a_band_of_one_standard_deviation() -> None:
    one = shown([Point(0.4, 0.2), Point(0.5, 0.3)], "s0", 0, group="dom")
    two = shown([Point(0.6, 0.4)], "s1", 1, group="dom")
    lone = shown([Point(0.9, 0.8)], "x", 2, group="other")
    found = chart("accuracy", one, lone, two, view=View(grouped=True))
    assert ("dom (n=2)", 0, "solid") in names(found)
    assert ("x", 2, "solid") in names(found)
    natural = next(series for series in drawn(found) if series.colour == 0 and series.line == "solid")
    assert natural.band is not None
    assert natural.y.tolist() == pytest.approx([0.5, 0.5])
    assert natural.band[1][0] - natural.y[0] == pytest.approx(np.std([0.4, 0.6], ddof=1))
    assert np.isnan(natural.band[1][1])  # only one seed has got there


def test_seeds_are_matched_by_epoch_on_the_hours_axis_too() -> None:
    def seed(name: str, seconds: float) -> Shown:
        ends = [msgspec.structs.replace(event(n, Point(0.5)), train_seconds=seconds, test_seconds=0) for n in (1, 2)]
        return shown(ends, name, group="dom")

    found = chart("accuracy", seed("s0", 3600), seed("s1", 7200), view=View(axis="hours", grouped=True))
    (natural,) = drawn(found)
    assert natural.x.tolist() == pytest.approx([1.5, 3])
    assert natural.band is not None
    assert np.isfinite(natural.band[0]).all()


def test_the_end_of_the_warm_up_and_drops_of_the_learning_rate_are_marked() -> None:
    run = shown([Point(0.5, lr=lr) for lr in piecewise(200)])
    marks = {mark.x: mark.label for mark in marks_of("accuracy", [run], Tables(), "epochs")}
    assert marks[100] == "DOM on · lr ÷10"
    assert marks[150] == "lr ÷10"
    unlabelled = {mark.x: mark.label for mark in marks_of("loss", [run], Tables(), "epochs")}
    assert unlabelled == {100: "", 150: ""}
    steps = {mark.x for mark in marks_of("loss", [run], Tables(), "steps")}
    assert steps == {400, 600}


def test_without_dom_or_drops_there_is_nothing_to_mark() -> None:
    baseline = {**SETTINGS, "dom": {"operate": "none", "warmup": 0.5}}
    run = shown([Point(0.5, lr=lr) for lr in cyclical(60)], planned=60, settings=baseline)
    assert marks_of("loss", [run], Tables(), "epochs") == ()
    assert marks_of("loss", [shown(FGSM, settings={})], Tables(), "epochs") == ()


def test_damaged_settings_are_no_settings() -> None:
    damaged = shown(FGSM, settings={"dom": 3, "train": "x", "evaluation": {"steps": [20]}})
    assert [mark.label for mark in chart("accuracy", damaged).marks] == []
    assert "PGD" in [name for name, _, _ in names(chart("accuracy", damaged))]


def test_runs_that_share_a_schedule_share_its_marks() -> None:
    points = [Point(0.5, lr=lr) for lr in piecewise(200)]
    other = {**SETTINGS, "dom": {"operate": "none", "warmup": 0.5}}
    both = [shown(points, "one", 0), shown(points, "other", 1, settings=other)]
    assert [(mark.x, mark.colour) for mark in marks_of("loss", both, Tables(), "epochs")] == [
        (100, "mark"), (150, "mark"),
    ]  # fmt: skip
    early = shown(points[:50], "early", 2, planned=20, settings=SETTINGS)
    marks = {mark.x: mark.colour for mark in marks_of("loss", [*both, early], Tables(), "epochs")}
    assert marks[10] == 2


def test_the_best_epoch_of_a_run_and_its_findings_are_marked() -> None:
    ends = [msgspec.structs.replace(event(n, Point(0.5, 0.3)), best=n == 2) for n in (1, 2, 3)]
    collapse = Finding("catastrophic-overfitting", 3, "critical", "it collapsed")
    jump = Finding("memorization-jump", 1, "warning", "it jumped")
    run = shown(ends, "run", 4, settings={}, findings=(collapse, jump))
    found = {mark.label: (mark.x, mark.colour) for mark in marks_of("accuracy", [run], Tables(), "epochs")}
    assert found == {"best": (2, 4), "CO": (3, "finding")}
    patterns = {mark.label: mark.x for mark in marks_of("patterns", [run], Tables(), "epochs")}
    assert patterns == {"memorizing": 1}
    both = marks_of("accuracy", [run, shown(FGSM, "b", 5, settings={})], Tables(), "epochs")
    assert [(mark.label, mark.colour) for mark in both] == [("CO run", 4)]


def test_the_papers_number_is_a_target_one_line_for_each_number() -> None:
    one, same = (shown(FGSM, name, paper=0.525) for name in ("one", "same"))
    other = shown(FGSM, "other", 2, paper=0.4)
    (target,) = chart("accuracy", one, same).targets
    assert (target.y, target.label, target.colour) == (0.525, "paper 52.5", "target")
    assert [(target.y, target.colour) for target in chart("accuracy", one, other).targets] == [(0.525, 0), (0.4, 2)]
    assert chart("loss", one).targets == ()


def test_the_epoch_in_progress_has_a_point_while_its_run_trains() -> None:
    run = with_progress(shown([Point(0.5, loss=1.0)]), epoch=2, step=1)
    (series,) = drawn(chart("loss", run))
    assert series.x.tolist() == [1, 1.25]
    assert series.y.tolist() == [1, 0.75]
    (steps,) = drawn(chart("loss", run, view=View(axis="steps")))
    assert steps.x.tolist() == [4, 5]
    (hours,) = drawn(chart("loss", run, view=View(axis="hours")))
    assert hours.x.tolist() == pytest.approx([4 / 3600, 5 / 3600])
    stopped = replace(run, run=replace(run.run, status="stopped"))
    assert drawn(chart("loss", stopped))[0].x.tolist() == [1]
    done = longer(run, Point(0.5, loss=0.5))
    assert drawn(chart("loss", done))[0].x.tolist() == [1, 2]


def test_a_run_in_its_first_epoch_has_a_curve() -> None:
    (series,) = drawn(chart("loss", with_progress(shown([]), epoch=1, step=2)))
    assert series.x.tolist() == [0.5]


def test_a_table_that_grew_is_that_of_all_epochs() -> None:
    before = shown(healthy_pgd()[:40]).run
    after = shown(healthy_pgd()[:50]).run
    grown = replace(after, state=replace(after.state, epochs=(*before.state.epochs, *after.state.epochs[40:])))
    table = table_of(grown, table_of(before))
    assert np.array_equal(table.values, table_of(grown).values, equal_nan=True)
    assert np.array_equal(table.histogram, table_of(grown).histogram)
    assert table.values.shape[1] == 50
    again = replace(after, state=replace(after.state, epochs=(*grown.state.epochs[:30], *after.state.epochs[30:35])))
    resumed = table_of(again, table)
    assert np.array_equal(resumed.values, table_of(again).values, equal_nan=True)
    assert resumed.values.shape[1] == 35


def test_the_same_runs_are_no_change_and_the_same_charts() -> None:
    one, two = shown(FGSM, "one", 0), shown(FGSM, "two", 1)
    made = viewer(one, two)
    accuracy, patterns = made.chart("accuracy"), made.chart("patterns")
    assert not made.show([one, replace(two)])
    assert made.chart("accuracy") is accuracy
    assert made.show([one, with_progress(two, 4, 2)])
    assert made.chart("accuracy") is accuracy  # a running epoch says nothing about accuracy yet
    assert made.show([one, longer(two, Point(0.7, 0.4))])
    fresh = made.chart("accuracy")
    assert fresh is not accuracy
    assert made.chart("patterns") is not patterns
    kept = [series for series in fresh.series if series.colour == 0 and series.x.size]
    assert kept == [series for series in accuracy.series if series.colour == 0 and series.x.size]


def test_the_point_of_the_epoch_in_progress_moves_only_as_far_as_can_be_seen() -> None:
    run = shown([Point(0.5)], status="running")

    def at(step: int) -> Shown:
        now = msgspec.structs.replace(progress(2, step), steps=1000, natural_loss=1.0)
        return replace(run, run=replace(run.run, state=replace(run.run.state, progress=now)))

    made = viewer(at(100))
    assert [made.show([at(step)]) for step in (101, 140, 151, 152)] == [False, False, True, False]


def test_charts_that_no_run_has_values_for_are_left_out_once_there_are_epochs() -> None:
    bare = [
        msgspec.structs.replace(event(n, Point(0.5)), memorization=None, images_per_second=None, memory=None)
        for n in (1, 2)
    ]
    assert [kind.key for kind in viewer(shown(bare)).kinds] == ["accuracy", "loss", "lr"]
    assert viewer(shown([])).kinds == KINDS
    assert viewer().kinds == KINDS
    assert viewer().chart("accuracy").empty == "mark runs with space to see their curves"


def test_axes_stay_where_they_are_while_the_data_fit() -> None:
    run = shown([Point(0.4), Point(0.52)], status="running")
    made = viewer(run)
    before = made.chart("accuracy")
    made.show([longer(run, Point(0.53), Point(0.55))])
    after = made.chart("accuracy")
    assert after is not before
    assert after.shown_y() == before.shown_y()
    made.show([longer(run, Point(0.9))])
    assert made.chart("accuracy").shown_y()[1] >= 0.9


def test_the_x_axis_grows_in_steps_while_a_run_trains_and_fits_it_when_it_is_over() -> None:
    points = [Point(0.5)] * 121
    running = viewer(shown(points, status="running"))
    assert running.chart("accuracy").shown_x() == (0, 150)
    assert viewer(shown([Point(0.5)] * 180, status="running")).chart("loss").shown_x() == (0, 200)
    assert viewer(shown(points)).chart("accuracy").shown_x() == (0, 121)


def test_a_mean_minus_its_deviation_does_not_pull_the_axis_below_zero() -> None:
    seeds = [shown([Point(value)], f"s{n}", n) for n, value in enumerate((0.0, 0.0, 0.3))]
    made = viewer(*seeds)
    made.toggle_grouped()
    assert made.chart("accuracy").shown_y()[0] == 0


def test_the_cursor_reads_every_chart_at_an_epoch() -> None:
    run = shown([Point(0.802, 0.551, 0.603, high=0.5482)] * 3)
    made = viewer(run)
    made.point(2.2)
    text = made.sentence(200)
    assert text.startswith("epoch 2: natural 80.2  PGD-20 55.1  one-step 60.3  high-confidence 27,410")
    assert [note.texts for note in made.notes("accuracy")] == [("80.2", "55.1", "60.3")]
    assert made.notes("ranges")[0].texts == ("54.8", "0.0", "0.0", "0.0", "0.0", "45.2")
    made.point(None)
    assert made.sentence(200) == ""
    assert made.notes("accuracy") == ()


def test_what_does_not_fit_is_left_out_the_least_important_first() -> None:
    made = viewer(shown([Point(0.802, 0.551, 0.603)]))
    made.point(1)
    assert made.sentence(40) == "epoch 1: natural 80.2  PGD-20 55.1"
    assert made.sentence(24) == "epoch 1: PGD-20 55.1"
    assert made.sentence(12) == "epoch 1: PG…"


def test_of_several_runs_each_is_read_and_a_gap_is_a_dash() -> None:
    one, two = shown([Point(0.8, 0.5)] * 3, "one", 0), shown([Point(0.7, 0.4)], "two", 1)
    made = viewer(one, two)
    made.point(3)
    assert made.sentence(60) == "epoch 3, natural, PGD-20: one 80.0  50.0 · two –  –"
    assert [(note.colour, note.texts) for note in made.notes("accuracy")] == [(0, ("80.0", "50.0")), (1, ())]
    assert made.notes("ranges")[0].texts[0] == "50.0"
    shorter_first = viewer(two, one)
    shorter_first.point(3)
    assert shorter_first.notes("ranges")[0].texts == ()


def test_the_cursor_reads_what_was_measured_and_not_what_was_smoothed() -> None:
    made = viewer(shown([Point(0.2), Point(0.6)]))
    made.next_smoothing()
    made.point(2)
    assert made.notes("accuracy")[0].texts == ("60.0",)


def test_a_mean_is_read_with_its_deviation() -> None:
    made = viewer(*(shown([Point(value)], f"s{n}", n, group="dom") for n, value in enumerate((0.4, 0.6))))
    made.toggle_grouped()
    made.point(1)
    assert made.notes("accuracy")[0].texts == ("50.0 ± 14.1",)
    assert [(entry.name, entry.text) for entry in made.entries("accuracy")] == [("natural", "50.0 ± 14.1")]


def test_an_untested_epoch_has_nothing_to_read() -> None:
    made = viewer(shown([Point(0.4), replace(Point(0.5), tested=False)]))
    made.point(2)
    assert made.notes("accuracy")[0].texts == ()
    assert "natural" not in made.sentence(200)


def test_a_large_legend_names_every_line_with_its_last_value() -> None:
    made = viewer(shown(FGSM, "one", 0), shown(FGSM[:1], "two", 1))
    found = [(entry.name, entry.text, entry.colour, entry.line) for entry in made.entries("accuracy")]
    assert found[:2] == [("one · natural", "60.0", 0, "solid"), ("one · PGD-20", "30.0", 0, "dashed")]
    assert found[3] == ("two · natural", "40.0", 1, "solid")
    assert made.entries("ranges")[0].text == "50.0 %"


def test_the_cursor_goes_from_epoch_to_epoch_and_the_window_follows() -> None:
    made = viewer(shown([Point(0.5)] * 100))
    made.step(-1)
    assert made.view.cursor == 100
    made.step(-1)
    assert made.view.cursor == 99
    made.zoom(10, 95)
    made.step(-50)
    assert made.view.cursor == 49
    assert made.view.window is not None
    low, high = made.view.window
    assert low <= 49 <= high
    assert high - low == pytest.approx(10)
    made.step(-1_000_000)
    assert made.view.cursor == 1


def test_the_mouse_moves_the_cursor_and_a_click_lets_it_stay() -> None:
    made = viewer(shown([Point(0.5)] * 100))
    made.hover(30.4)
    assert made.view.cursor == 30
    made.hover(None)
    assert made.view.cursor is None
    made.hover(40.0, fixed=True)
    made.hover(77.0)
    made.hover(None)
    assert made.view.cursor == 40


def test_zoom_and_pan_stay_within_the_data_and_go_back() -> None:
    made = viewer(shown([Point(0.5)] * 100))
    made.pan(0.2)
    assert made.view.window is None
    made.zoom(4, 100)
    assert made.view.window == pytest.approx((75, 100))
    made.pan(-1)
    assert made.view.window == pytest.approx((50, 75))
    assert made.chart("accuracy").shown_x() == made.chart("loss").shown_x() == pytest.approx((50, 75))
    made.zoom(0.01)
    assert made.view.window is None
    made.zoom(2)
    made.reset()
    assert made.view.window is None


def test_another_x_axis_shows_the_same_epochs() -> None:
    made = viewer(shown([Point(0.5)] * 100))
    made.zoom(4, 100)
    made.step(-1)
    assert made.next_axis() == "steps"
    assert made.view.window == pytest.approx((300, 400))
    assert made.view.cursor == 400
    assert made.next_axis() == "hours"
    assert made.view.window == pytest.approx((75 / 900, 100 / 900))
    assert made.sentence(200).startswith("0:07 h (epoch 100): natural 50.0")
    assert made.next_axis() == "epochs"
    assert made.view.cursor == pytest.approx(100)


def gpu(index: int = 0, used: int = 10, utilization: int | None = 50) -> Gpu:
    return Gpu(index, f"GPU-{index}", "a GPU", 80 << 30, used << 30, utilization, ())


def test_gpus_have_charts_of_the_last_minutes_only_where_there_are_any() -> None:
    made = viewer()
    made.show_system([], 0.0)
    assert made.kinds == KINDS
    for second in range(HISTORY + 100):
        made.show_system([gpu(0, 20, 75), gpu(1, 30, None)], float(second))
    assert [kind.key for kind in made.kinds[-2:]] == ["gpu", "gpu-memory"]
    used, unknown = made.chart("gpu").series
    assert used.x.size == HISTORY
    assert used.x[-1] == 0
    assert used.x[0] == pytest.approx(-(HISTORY - 1) / 3600)
    assert set(used.y.tolist()) == {0.75}
    assert np.isnan(unknown.y).all()
    memory = made.chart("gpu-memory")
    assert memory.series[1].y[-1] == 30
    assert memory.shown_y() == (0, 80)
    assert not made.is_over_epochs("gpu")


def test_a_gpu_that_went_away_is_a_gap() -> None:
    made = viewer()
    for at, found in enumerate(([gpu(0), gpu(1)], [gpu(0)], [gpu(0), gpu(1)])):
        made.show_system(found, float(at))
    assert np.isnan(made.chart("gpu").series[1].y).tolist() == [False, True, False]


def contrast(colour: str, background: str) -> float:
    def luminance(text: str) -> float:
        parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(colour), luminance(background)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("palette", "background"), [(DARK, "#121212"), (LIGHT, "#ffffff")])
def test_every_run_has_a_colour_of_its_own_that_can_be_seen(palette: Palette, background: str) -> None:
    colours = [palette.run_colour(index) for index in range(8)]
    assert len(set(colours)) == 8
    assert min(contrast(colour, background) for colour in colours) >= 3  # WCAG 2.2, graphical objects
    assert run_colour(2, palette) == colours[2]


@pytest.mark.parametrize("palette", [ANSI_DARK, ANSI_LIGHT, NONE])
def test_few_or_no_colours_are_those_of_the_terminal(palette: Palette) -> None:
    from domcli.charts import Style

    style = palette.style(Style(0, faint=True))
    assert style.color is None or style.color.triplet is None
    assert style.dim
    assert palette is not NONE or style.color is None


def test_lines_over_the_noise() -> None:
    """Values of a straight line are read at the epoch asked for, not at a neighbour."""
    made = viewer(shown([Point(value) for value in line((1, 0.1), (50, 0.59))]))
    made.point(17)
    assert made.notes("accuracy")[0].texts == ("26.0",)


def test_a_smoothed_chart_says_so_and_by_how_much() -> None:
    smoothed = View(smoothing=0.6)
    assert chart("accuracy", shown(FGSM), view=smoothed).title == "Test accuracy (smoothed, 0.6)"
    assert chart("accuracy", shown(FGSM)).title == "Test accuracy"
    assert chart("lr", shown(FGSM), view=smoothed).title == "Learning rate"


def test_a_run_without_data_is_not_in_the_legend() -> None:
    found = chart("accuracy", shown(FGSM, "one", 0), shown([], "waiting", 1), shown(FGSM, "other", 2))
    assert [name for name, _, _ in names(found)][-2:] == ["one", "other"]
    alone = chart("accuracy", shown(FGSM, "one", 3), shown([], "waiting", 1))
    assert names(alone)[0] == ("natural", 3, "solid")


def test_a_seed_that_is_there_twice_is_in_the_mean_once() -> None:
    one = shown([Point(0.4)], "s0", 0, group="dom", seed=0, repeats=True)
    again = shown([Point(0.6)], "s0 #2", 1, group="dom", seed=0)
    other = shown([Point(0.8)], "s1", 2, group="dom", seed=1)
    found = chart("accuracy", one, again, other, view=View(grouped=True))
    lone = shown([Point(0.5)], "x", 3, group="other", seed=0)
    both = chart("accuracy", one, again, other, lone, view=View(grouped=True))
    assert [name for name, _, _ in names(both)] == ["dom (n=2)", "x"]
    assert len(drawn(found)) == 1
    assert drawn(found)[0].y.tolist() == pytest.approx([0.7])
    assert len(drawn(chart("accuracy", one, again, other))) == 3


def test_marks_of_some_runs_say_whose_they_are() -> None:
    points = [Point(0.5)] * 40
    early, late = shown(points, "early", 1, planned=20), shown(points, "late", 2, planned=60)
    marks = [(mark.x, mark.label, mark.colour) for mark in marks_of("accuracy", [early, late], Tables(), "epochs")]
    assert marks == [(10, "DOM on early", 1), (30, "DOM on late", 2)]


BASELINE = {**SETTINGS, "dom": {"operate": "none", "warmup": 0.5}}


def test_a_mark_says_of_each_thing_that_happened_there_to_which_runs() -> None:
    dropped = shown([Point(0.5, lr=lr) for lr in piecewise(20)], "dropped", 1, planned=20, settings=BASELINE)
    flat = shown([Point(0.5)] * 20, "flat", 2, planned=20)
    marks = marks_of("accuracy", [dropped, flat], Tables(), "epochs")
    assert [(mark.x, mark.label, mark.colour) for mark in marks] == [
        (10, "lr ÷10 dropped; DOM on flat", "mark"),
        (15, "lr ÷10 dropped", 1),
    ]


@pytest.mark.parametrize(
    ("epochs", "rates", "expected"),
    [
        (30, [0.1] * 15 + [0.01] * 7 + [0.001] * 8, {15: 10, 22.5: 10}),
        (3, [0.1, 0.01, 0.001], {1.5: 10, 2.25: 10}),
        (2, [0.1, 0.001], {1: 10, 1.5: 10}),
        (1, [0.001], {0.5: 10, 0.75: 10}),
        (200, [0.1] * 5 + [0.02] * 5, {5: 5}),
        (200, [0.1] * 5 + [0.02, 0.002, 0.002], {5: 5, 6: 10}),
        (200, [0.1, 0.1, 0.0, 0.1], {}),
        (200, [0.8, 0.6, 0.2, 0.05], {}),
        (200, [0.1, 0.01] * 30, {}),
        (200, [1e300, 1e-300], {}),
    ],
)
def test_every_drop_has_a_mark_and_a_step_where_the_schedule_has_it(
    epochs: int, rates: list[float], expected: dict[float, int]
) -> None:
    settings = {"train": {"epochs": epochs, "max_lr": rates[0] if epochs > 1 else 0.1}}
    run = shown([Point(0.5, lr=lr) for lr in rates], planned=epochs, settings=settings)
    marks = {mark.x: mark.label for mark in marks_of("accuracy", [run], Tables(), "epochs")}
    assert marks == {place: f"lr ÷{factor}" for place, factor in expected.items()}
    (curve,) = drawn(chart("lr", run))
    across, down = np.diff(curve.x), np.diff(curve.y)
    assert set(curve.x[1:][(across == 0) & (down < 0)].tolist()) == set(expected)
    if expected and epochs > 1:
        assert not (across * down).any()  # nothing of the line is a ramp


def test_a_cycle_has_slopes_and_no_marks() -> None:
    settings = {"train": {"epochs": 6, "schedule": "cyclical", "max_lr": 0.2}}
    run = shown([Point(0.5, lr=lr) for lr in cyclical(6)], planned=6, settings=settings)
    assert marks_of("accuracy", [run], Tables(), "epochs") == ()
    (curve,) = drawn(chart("lr", run))
    assert curve.y.tolist() == cyclical(6)


@pytest.mark.parametrize("axis", ["steps", "hours"])
def test_steps_are_steps_on_every_axis_and_of_seeds_together(axis: Any) -> None:
    seeds = [shown([Point(0.5, lr=lr) for lr in piecewise(3)], f"s{n}", planned=3, seed=n) for n in (0, 1)]
    for runs, view in ((seeds[:1], View(axis=axis)), (seeds, View(axis=axis, grouped=True))):
        (curve,) = drawn(chart("lr", *runs, view=view))
        assert (np.diff(curve.x) >= 0).all()
        assert not (np.diff(curve.x) * np.diff(curve.y)).any()


def test_many_marks_do_not_hide_the_curves() -> None:
    runs = [shown([Point(0.5)] * 40, f"r{n}", n, planned=2 * n + 4) for n in range(9)]
    assert marks_of("accuracy", runs, Tables(), "epochs") == ()
    found = tuple(Finding("robust-overfitting", n, "warning", "it overfits") for n in range(1, 9))
    grave = Finding("catastrophic-overfitting", 30, "critical", "it collapsed")
    marks = marks_of("accuracy", [replace(one, findings=(*found, grave)) for one in runs[:2]], Tables(), "epochs")
    assert len([mark for mark in marks if not mark.label.startswith("DOM")]) == 6
    assert {"CO r0", "CO r1"} <= {mark.label for mark in marks}


def test_values_at_the_cursor_are_named() -> None:
    one, two = shown([Point(0.8, 0.5)], "one", 0), shown([Point(0.7, 0.4)], "two", 1)
    made = viewer(one)
    made.point(1)
    assert [note.named().texts for note in made.notes("accuracy")] == [("natural 80.0", "PGD-20 50.0")]
    assert made.notes("ranges")[0].named().texts[0].startswith("0–0.5 ")
    both = viewer(one, two)
    both.point(1)
    assert [note.named().texts for note in both.notes("accuracy")] == [("one 80.0", "50.0"), ("two 70.0", "40.0")]
    wide, narrow = (
        "".join(text for text, _ in lower_edge(both.notes("accuracy"), width, Style("border"))) for width in (50, 30)
    )
    assert "one 80.0  50.0   two 70.0  40.0" in wide
    assert "80.0  50.0   70.0  40.0" in narrow
    assert "one" not in narrow
