"""The program that reproduces rows of the paper's tables: what it runs, what is missing, and what it may claim."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import reproduce_plan as plan
import reproduce_report as report
import reproduce_session as session
from compared import FINISHED, epoch_ends, write_events, write_run
from samples import epoch_end, started

from domcli import presets, rundir
from domcli.compare import compare, export, select
from domcli.compare.records import flatten
from domcli.errors import SettingsError
from domcli.events import Failed, Stopped
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import Run, read_run
from domcli.runstate import Status, fold

PAPER = plan.Wanted(rows=plan.ROWS, seeds=(0,), root="data", shorten=1)
SIZES = {"train_size": 50_000, "test_size": 10_000}


def run_of(task: plan.Task, status: Status, epochs: int, seconds: float = 4.0, **changes: Any) -> Run:
    """A run with so many epochs of so many seconds, a quarter of them its test."""
    begun = msgspec.structs.replace(started(epochs=task.epochs), **SIZES)
    ends = [epoch_end(n, train_seconds=0.75 * seconds, test_seconds=0.25 * seconds) for n in range(1, epochs + 1)]
    return Run(RunDirectory(Path(task.name)), fold([begun, *ends]), status, **changes)


def task(row: str, method: str = "baseline", wanted: plan.Wanted = PAPER) -> plan.Task:
    return next(one for one in plan.tasks(wanted) if (one.row, one.method) == (row, method))


def test_the_rows_in_their_order_with_pgd_alone_shortened() -> None:
    found = plan.tasks(plan.Wanted(rows=("pgd", "natural", "fgsm"), seeds=(0, 1), root="data"))
    names = [
        *("fgsm-baseline-seed0", "fgsm-baseline-seed1", "fgsm-dom-re-seed0", "fgsm-dom-re-seed1"),
        *("natural-baseline-seed0", "natural-baseline-seed1", "natural-dom-re-seed0", "natural-dom-re-seed1"),
        *("pgd-baseline-short8-seed0", "pgd-baseline-short8-seed1"),
        *("pgd-dom-re-short8-seed0", "pgd-dom-re-short8-seed1"),
    ]
    assert [one.name for one in found] == names
    assert [one.epochs for one in found[::4]] == [100, 300, 25]


def test_a_factor_shortens_every_row_and_stands_in_every_name() -> None:
    found = plan.tasks(plan.Wanted(rows=plan.ROWS, seeds=(0,), root="images", jpeg=True, shorten=4))
    assert [(one.preset, one.epochs, one.whole) for one in found[::2]] == [
        ("fgsm-baseline-jpeg-short4", 25, 100),
        ("natural-baseline-jpeg-short4", 75, 300),
        ("pgd-baseline-jpeg-short4", 50, 200),
    ]
    assert {(one.settings.data.dataset, one.settings.data.root) for one in found} == {("imagefolder", "images")}


@pytest.mark.parametrize("row", plan.ROWS)
@pytest.mark.parametrize("method", plan.METHODS)
def test_whole_rows_on_the_real_images_have_the_papers_settings(row: str, method: str, tmp_path: Path) -> None:
    found, paper = task(row, method), presets.resolve(f"{row}-{method}").to_dict()
    assert flatten(found.settings.to_dict()) == {**flatten(paper), "checkpoint.every": 0}
    file = tmp_path / f"{found.preset}.toml"
    file.write_text(found.file)
    assert presets.resolve(str(file), ["train.seed=0"]) == found.settings


@pytest.mark.parametrize("status", get_args(Status))
def test_what_is_to_be_done_about_a_run(status: Status) -> None:
    expected = {"finished": "leave", "queued": "follow", "starting": "follow", "running": "follow"}
    assert plan.action(run_of(task("fgsm"), status, 1)) == expected.get(status, "resume")
    assert plan.action(None) == "run"


def test_a_run_with_other_settings_is_refused() -> None:
    wanted = task("fgsm")
    found = wanted.settings.to_dict()
    plan.refuse_others(wanted, {**found, "data": {**found["data"], "root": "/elsewhere"}}, "runs")
    changed = {**found, "train": {**found["train"], "epochs": 50}}
    with pytest.raises(SettingsError, match=r"fgsm-baseline-seed0 in runs has other .*train.epochs is 50, not 100;"):
        plan.refuse_others(wanted, changed, "runs")
    images = plan.tasks(plan.Wanted(rows=("fgsm",), seeds=(0,), root="images", jpeg=True))[0]
    found = images.settings.to_dict()
    with pytest.raises(SettingsError, match=r"data.root is others, not images;"):
        plan.refuse_others(images, {**found, "data": {**found["data"], "root": "others"}}, "runs")


def left(wanted: Sequence[plan.Task], runs: Sequence[Run], jobs: int = 1) -> float | None:
    return plan.seconds_left(wanted, {run.directory.name: run for run in runs}, lambda _: jobs)


def test_how_long_the_rest_takes_is_known_from_the_first_epoch_on() -> None:
    baseline, dom = task("fgsm"), task("fgsm", "dom-re")
    both, start = [baseline, dom], plan.START_SECONDS
    assert left(both, []) is None
    assert left(both, [run_of(baseline, "starting", 0)]) is None
    assert left([baseline], [run_of(baseline, "running", 10, 4.0)]) == pytest.approx(90 * 4)
    assert left([baseline], [run_of(baseline, "stopped", 10, 4.0)]) == pytest.approx(90 * 4 + start)
    assert left(both, [run_of(baseline, "running", 10, 4.0)]) == pytest.approx(90 * 4 + 100 * 4 + start)
    assert left(both, [run_of(baseline, "finished", 100, 4.0)]) == pytest.approx(100 * 4 + start)
    assert left(both, [run_of(one, "finished", 100) for one in both]) == 0
    assert left(both, [run_of(baseline, "running", 10, 4.0)], jobs=2) == pytest.approx(100 * 4 + start)


def test_a_row_that_has_not_begun_is_estimated_by_the_passes_of_its_epochs() -> None:
    fgsm, natural = task("fgsm"), task("natural")
    pace = 7.4 * (3 * 5 + 1) / (6 * 5 + 1 + 2 * 20 + 2)
    found = left([natural], [])
    assert found is None
    found = left([fgsm, natural], [run_of(fgsm, "finished", 100, 7.4)])
    assert found == pytest.approx(300 * pace + plan.START_SECONDS)


def whole_run(folder: Path, one: plan.Task, accuracies: tuple[float, float | None]) -> Run:
    """A finished run of a task, as its trainer would have left it."""
    last = [accuracies] * one.epochs
    settings = flatten(one.settings.to_dict())
    changes = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    about = {"preset": one.preset}
    run = write_run(folder, f"{one.row}-{one.method}", changes=changes, name=one.name, environment=about)
    begun = msgspec.structs.replace(started(epochs=one.epochs), **SIZES)
    write_events(run, [begun, *epoch_ends(last)], FINISHED)
    return read_run(run)


def said(folder: Path, wanted: plan.Wanted, runs: Sequence[Run]) -> str:
    comparison = json.loads(export(compare(select(folder, ["*"]), paper=True), "json")) if runs else None
    found = {run.directory.name: run for run in runs}
    tasks = plan.tasks(wanted)
    content = json.loads(json.dumps(report.results(wanted, tasks, found, comparison)))
    assert [one["name"] for one in content["runs"]] == [one.name for one in tasks]
    assert [one["run"] is None for one in content["runs"]] == [one.name not in found for one in tasks]
    return "\n".join(report.summary(wanted, tasks, found, comparison))


def test_a_shortened_row_on_compressed_images_is_never_called_a_reproduction(tmp_path: Path) -> None:
    wanted = plan.Wanted(rows=("pgd",), seeds=(0,), root="images", jpeg=True)
    baseline, dom = plan.tasks(wanted)
    runs = [whole_run(tmp_path, baseline, (0.8, 0.45)), whole_run(tmp_path, dom, (0.79, 0.5))]
    text = said(tmp_path, wanted, runs)
    assert "pgd (SHORTENED to 25 of 200 epochs" in text
    assert report.JPEG in text
    groups = ["pgd-baseline-jpeg-short8", "pgd-dom-re-jpeg-short8"]
    differs = "data.dataset is imagefolder, not cifar10; train.epochs is 25, not 200"
    assert text.count("NOT the paper's settings") == 1
    assert f"{', '.join(groups)}: NOT the paper's settings: {differs}" in text.splitlines()
    assert f"{groups[1]}: nearest is pgd-dom-re of Table 3, 1 seed" in text.splitlines()
    row = "  pgd      last   own  50.00   published  52.52 ± 1.29   gap  -2.52   not the paper's settings"
    assert row in text.splitlines()
    assert "DOM_RE minus baseline, in points, pgd, pgd last: own +5.00, published +7.36" in text
    assert "difference +0.00 points" in text
    assert text.splitlines()[-1].startswith("Verdict: none, for no run has the paper's settings;")
    assert "high-confidence 250 of 50,000 patterns (loss < 1.5): 10 original, 240 transformed" in text
    for claim in ("within", "above", "below", "reproduces"):
        assert claim not in text


def test_with_the_papers_settings_the_verdict_is_that_of_the_comparison(tmp_path: Path) -> None:
    wanted = plan.Wanted(rows=("natural",), seeds=(0, 1), root="data")
    all_tasks = plan.tasks(wanted)
    runs = [whole_run(tmp_path, one, (0.953 + 0.001 * one.settings.train.seed, None)) for one in all_tasks]
    last = said(tmp_path, wanted, runs).splitlines()[-1]
    assert last.startswith("Verdict on the numbers of 2 settings that are the paper's: 4 within")
    alone = plan.Wanted(rows=("natural",), seeds=(0,), root="data")
    other = tmp_path / "alone"
    first = [whole_run(other, one, (0.953, None)) for one in plan.tasks(alone)]
    last = said(other, alone, first).splitlines()[-1]
    assert last.startswith(
        "Verdict on the numbers of 2 settings that are the paper's: 4 too few seeds. A verdict needs"
    )


def test_what_has_not_begun_and_what_failed_is_in_the_summary(tmp_path: Path) -> None:
    one = task("fgsm")
    text = said(tmp_path, PAPER, [])
    assert "fgsm-dom-re-seed0   " in text
    assert text.count("not begun, 0 of 100 epochs") == 2
    assert "nothing can be held against the paper yet" in text
    failed = run_of(one, "failed", 1)
    failed = Run(failed.directory, fold([Failed(cause="device", reason="the GPU is gone")], failed.state), "failed")
    lines = list(report.summary(PAPER, plan.tasks(PAPER), {one.name: failed}, None))
    assert "  the GPU is gone" in lines
    # It was stopped in the queue, or while its trainer started.
    waited = Run(failed.directory, fold([]), "stopped")
    text = "\n".join(report.summary(PAPER, plan.tasks(PAPER), {one.name: waited}, None))
    assert "stopped" not in text
    assert text.count("not begun, 0 of 100 epochs") == 2


def test_what_differs_is_said_of_each_run_where_it_is_not_the_same(tmp_path: Path) -> None:
    wanted = plan.Wanted(rows=("pgd",), seeds=(0,), root="images", jpeg=True)
    baseline, dom = plan.tasks(wanted)
    whole = plan.tasks(plan.Wanted(rows=("pgd",), seeds=(0,), root="images", jpeg=True, shorten=1))[1]
    for one in (baseline, whole):
        whole_run(tmp_path, one, (0.8, 0.45))
    comparison = json.loads(export(compare(select(tmp_path, ["*"]), paper=True), "json"))
    text = "\n".join(report.summary(wanted, [baseline, dom], {}, comparison))
    both = "data.dataset is imagefolder, not cifar10"
    assert f"{baseline.preset}: NOT the paper's settings: {both}; train.epochs is 25, not 200\n" in text
    assert f"{whole.preset}: NOT the paper's settings: {both}\n" in text


def test_a_try_on_the_cpu_says_once_that_its_numbers_mean_nothing(tmp_path: Path) -> None:
    wanted = plan.Wanted(rows=("natural",), seeds=(0,), root="tiny", cpu=True)
    tasks = plan.tasks(wanted)
    assert [one.preset for one in tasks] == ["natural-baseline-cpu", "natural-dom-re-cpu"]
    assert {one.settings.data.dataset for one in tasks} == {"imagefolder"}
    text = said(tmp_path, wanted, [whole_run(tmp_path, one, (0.5, None)) for one in tasks])
    assert text.splitlines().count(report.TRY) == 1
    assert "NOT the paper's settings" not in text
    assert "jpeg" not in text.lower()
    assert text.splitlines()[-1].startswith("Verdict: none")
    given = plan.Wanted(rows=("natural",), seeds=(0,), root="images", cpu=True, jpeg=True)
    assert plan.tasks(given)[0].preset == "natural-baseline-jpeg-cpu"


def test_progress_tells_what_trains_and_how_long_all_takes() -> None:
    tasks = [task("fgsm"), task("fgsm", "dom-re")]
    runs = {tasks[0].name: run_of(tasks[0], "running", 10), tasks[1].name: run_of(tasks[1], "queued", 0)}
    line = report.progress(tasks, runs, 61.4, 540, 772.0)
    assert line == (
        "[  61 s of 540] fgsm-baseline-seed0 10/100 epochs, 25.00 %, ETA 360 s; 0 of 2 finished, "
        "all asked for in about 772 s more"
    )
    assert report.progress(tasks, {}, 1, 540, None).endswith("0 of 2 finished, ETA after the first epoch")


@pytest.mark.parametrize(
    ("statuses", "now"),
    [
        (("finished", "starting"), "starting fgsm-dom-re-seed0; 1 of 2 finished, all asked for in about 20 s more"),
        (
            ("finished", "queued"),
            "fgsm-dom-re-seed0 is next in the queue; 1 of 2 finished, all asked for in about 20 s",
        ),
        (("queued", "queued"), "fgsm-baseline-seed0 is next in the queue; 0 of 2 finished"),
        (("finished", "failed"), "nothing trains or waits; 1 of 2 finished, all asked for in about 20 s more"),
        (("finished", "finished"), "all finished"),
    ],
)
def test_progress_tells_what_is_the_case_while_nothing_trains(statuses: tuple[Status, Status], now: str) -> None:
    tasks = [task("fgsm"), task("fgsm", "dom-re")]
    runs = {one.name: run_of(one, status, 0) for one, status in zip(tasks, statuses, strict=True)}
    line = report.progress(tasks, runs, 91, 175, 20.0)
    assert line.startswith(f"[  91 s of 175] {now}")
    if now == "all finished":
        assert line.endswith(now)


def stopped_at(one: plan.Task, epochs: int, *, step: int = 0, start: float = 31.0) -> Run:
    """A run that was stopped after so many epochs and steps; its trainer took so long to start."""
    run = run_of(one, "stopped", epochs, 13.0)
    begun = msgspec.structs.replace(run.state.started, time=1000.0 + start)
    state = replace(run.state, started=begun, closing=Stopped(reason="asked", epoch=epochs, step=step))
    trainer = ProcessIdentity(host="here", pid=1, start_time=1000.0, cwd="/", launched=1000.0)
    return replace(run, state=state, process=trainer)


def end_of(budget: float, before: Run | None, run: Run, queued: float | None = 2.0) -> str:
    """Return the last line of a call whose budget is over, which found a run as `before` and left it as `run`."""
    frame = session.Frame(time.monotonic() - budget, budget, Path("runs"), Path())
    made = session.Session(frame, plan.Wanted(rows=("fgsm",), seeds=(0,), root="data"), {"fgsm": 1})
    made._first_queued = queued
    made._before = {run.directory.name: plan.position(before)} if before else {}
    return made._end({run.directory.name: run})


def test_a_budget_too_small_for_progress_says_which_would_help() -> None:
    one = task("fgsm")
    waited = Run(RunDirectory(Path(one.name)), fold([]), "stopped")
    vain = "The budget is too small to make progress: a start takes"
    unknown = "how long an epoch takes is not known yet"
    assert end_of(30, None, waited).endswith(f"{vain} more than 13 s here, {unknown}; try --budget 60.")
    assert end_of(50, None, stopped_at(one, 0)).endswith(f"{vain} 31 s here, {unknown}; try --budget 100.")
    timed = stopped_at(one, 2, step=5)
    assert end_of(50, timed, timed).endswith(f"{vain} 31 s here, an epoch 13.0 s; try --budget 70.")
    assert end_of(99, timed, timed).endswith("try --budget 198.")


def test_a_budget_in_which_something_was_saved_is_not_too_small() -> None:
    one, again = task("fgsm"), "Call it again to go on with what is missing."
    assert end_of(50, None, stopped_at(one, 0, step=1)).endswith(again)
    assert end_of(50, stopped_at(one, 1, step=9), stopped_at(one, 2)).endswith(again)
    # The images were unpacked, and that is done once.
    assert end_of(50, None, Run(RunDirectory(Path(one.name)), fold([]), "stopped"), queued=None).endswith(again)


def test_calls_that_bring_no_run_further_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plan.Wanted(rows=("natural",), seeds=(0,), root="data")
    first = plan.tasks(wanted)[0]
    run = RunDirectory(tmp_path / "runs" / first.name)

    def last_line(step: int) -> str:
        """Return the last line of a call that is over once a run is queued, which stops at a step of epoch 1."""

        def domcli(*words: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
            if words[0] == "run":
                rundir.create(tmp_path / "runs", first.name, first.settings.to_dict(), {})
            if words[0] in ("run", "resume"):
                write_events(run, [started()], Stopped(reason="asked", epoch=0, step=step))
            return subprocess.CompletedProcess(words, 0, "", "")

        made = session.Session(session.Frame(time.monotonic(), 40, tmp_path / "runs", tmp_path), wanted, {"natural": 1})
        monkeypatch.setattr(made, "_domcli", domcli)
        monkeypatch.setattr(made, "_over", lambda: made._first_queued is not None)
        assert made.run() == 3
        return (tmp_path / "summary.txt").read_text().splitlines()[-1]

    assert "The budget is too small to make progress" in last_line(0)
    assert last_line(7).endswith("Call it again to go on with what is missing.")
    assert "The budget is too small to make progress" in last_line(7)
    assert last_line(8).endswith("Call it again to go on with what is missing.")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 3)])
def test_a_signal_ends_the_call_with_its_code(number: int, code: int, tmp_path: Path) -> None:
    frame = session.Frame(time.monotonic(), 540, tmp_path / "runs", tmp_path)
    made = session.Session(frame, plan.Wanted(rows=("fgsm",), seeds=(0,), root="data"), {"fgsm": 1})
    made.ask_to_stop(number, None)
    assert made.run() == code
    assert (tmp_path / "summary.txt").read_text().endswith("Call it again to go on with what is missing.\n")


def test_a_trainer_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plan.Wanted(rows=("fgsm",), seeds=(0,), root="data", cpu=True)
    frame = session.Frame(time.monotonic(), 0, tmp_path / "runs", tmp_path)
    made = session.Session(frame, wanted, {"fgsm": 1})
    asked: list[tuple[str, ...]] = []

    def domcli(*words: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        if words[0] == "stop":
            raise subprocess.TimeoutExpired("domcli", timeout or 0)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(made, "_domcli", domcli)
    monkeypatch.setattr(made, "_at_work", lambda: ["a", "b"])
    made._stop()
    assert asked == [("stop", "a", "b"), ("kill", "a", "b")]
