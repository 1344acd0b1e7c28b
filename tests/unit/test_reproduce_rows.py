"""The program that reproduces rows of the paper's tables: what it runs, what is missing, and what it may claim."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import reproduce
import reproduce_plan as plan
import reproduce_report as report
import reproduce_session as session
from compared import FINISHED, epoch_ends, write_events, write_run
from samples import epoch_end, started

from domcli import presets, rundir
from domcli.compare import compare, export, select
from domcli.compare.records import flatten
from domcli.devices import CPU, Device
from domcli.errors import DeviceError, SettingsError
from domcli.events import Failed
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
    differs = (
        "pgd-dom-re of Table 3, it differs in: data.dataset is imagefolder, not cifar10; train.epochs is 25, not 200"
    )
    assert f"pgd-dom-re-jpeg-short8: NOT the paper's settings; of the nearest, {differs}" in text
    row = "  pgd      last   own  50.00   published  52.52 ± 1.29   gap  -2.52   not the paper's settings"
    assert row in text.splitlines()
    assert "DOM_RE minus baseline, pgd, pgd last: own +5.00, published +7.36" in text
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
    assert "not begun, 0 of 100 epochs" in text
    assert "nothing can be held against the paper yet" in text
    failed = run_of(one, "failed", 1)
    failed = Run(failed.directory, fold([Failed(cause="device", reason="the GPU is gone")], failed.state), "failed")
    lines = list(report.summary(PAPER, plan.tasks(PAPER), {one.name: failed}, None))
    assert "  the GPU is gone" in lines


def test_progress_tells_what_trains_and_how_long_all_takes() -> None:
    tasks = [task("fgsm"), task("fgsm", "dom-re")]
    runs = {tasks[0].name: run_of(tasks[0], "running", 10), tasks[1].name: run_of(tasks[1], "queued", 0)}
    line = report.progress(tasks, runs, 61.4, 540, 772.0)
    assert line == (
        "[  61 s of 540] fgsm-baseline-seed0 10/100 epochs, 25.00 %, ETA 360 s; 0 of 2 finished, "
        "all asked for in about 772 s more"
    )
    assert report.progress(tasks, {}, 1, 540, None).endswith("0 of 2 finished, ETA later")


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


def test_how_many_share_a_gpu_is_what_was_measured_for_the_papers_images(monkeypatch: pytest.MonkeyPatch) -> None:
    class Automatic:
        def __init__(self, _devices: object) -> None:
            pass

        def jobs(self, settings: Any) -> int:
            return {"fgsm": 2, "none": 4}[settings.attack.name] if settings.data.dataset == "cifar10" else 1

    monkeypatch.setattr(reproduce.launch, "Automatic", Automatic)
    monkeypatch.setattr(reproduce.launch, "choose_devices", lambda wanted: ())
    wanted = plan.Wanted(rows=("fgsm", "natural"), seeds=(0,), root="images", jpeg=True)
    assert reproduce._jobs("auto", wanted) == {"fgsm": 2, "natural": 4}
    assert reproduce._jobs("3", wanted) == {"fgsm": 3, "natural": 3}


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The program in this process and an empty folder, on a machine without a GPU."""

    def no_gpu(wanted: str) -> tuple[Device, ...]:
        if wanted == "cpu":
            return (CPU,)
        raise DeviceError(f"device {wanted!r} is not available: no GPU is found on this machine; use --device cpu")

    monkeypatch.setattr(reproduce.launch, "choose_devices", no_gpu)
    monkeypatch.setattr(reproduce.signal, "signal", lambda number, handler: None)
    for name in ("PYTHONPATH", "DOMCLI_PLAIN"):
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str) -> int:
        try:
            return reproduce.main(arguments)
        except SystemExit as end:
            return int(end.code or 0)

    return start


def test_with_no_time_nothing_is_begun(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--cpu", "--rows", "natural", "--budget", "0") == 3
    assert list((tmp_path / "reproduction" / "runs").iterdir()) == []
    summary = (tmp_path / "reproduction" / "summary.txt").read_text()
    assert capsys.readouterr().out.endswith(f"\n{summary}")
    assert "0 of 2 runs are finished, how long the others take is not known yet" in summary
    content = json.loads((tmp_path / "reproduction" / "results.json").read_text())
    assert (content["budget"], content["missing_seconds"], content["together"]) == (0, None, {"natural": 1})
    assert (tmp_path / "reproduction" / "tiny" / "train" / "class0" / "0000.jpg").is_file()


def test_a_run_with_other_settings_stops_all_before_anything_is_begun(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = plan.tasks(plan.Wanted(rows=("natural",), seeds=(0,), root="tiny", jpeg=True, cpu=True))[1]
    folder = tmp_path / "reproduction" / "runs"
    run = rundir.create(folder, one.name, {**one.settings.to_dict(), "model": {"name": "preactresnet18"}}, {})
    assert call("--cpu", "--rows", "natural") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"error: {one.name} in {folder} has other settings than are asked for: model.width is not set, not 4; "
        "choose another --runs, or delete that run\n"
    )
    assert list(folder.iterdir()) == [run.path]


def test_the_help_names_every_exit_code(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: reproduce.sh")
    assert "Exit codes: 0 all that was asked for is finished, 1 a run failed, 2 bad usage or settings, 3 the" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rows", "fgsm,trades"], "--rows fgsm,trades: there is no row 'trades'; the rows are fgsm, natural, pgd"),
        (["--seeds", "a"], "--seeds 'a': write whole numbers"),
        (["--together", "0"], "--together 0: write auto, or a whole number"),
        ([], "no GPU is found on this machine; --cpu tries the program out without one"),
        (["--shorten", "0"], "--shorten is a whole number, 1 or more"),
        (["--shorten", "2", "--cpu"], "--shorten is a whole number, 1 or more, and does not go with --cpu"),
        (["--images", "nowhere.tar"], "--images nowhere.tar: there is no such archive"),
        (["--cpu", "--data", "here"], "--data is for the published images: it goes neither with --images nor with"),
        (["--budget", "-1"], "--budget is a number of seconds"),
    ],
)
def test_bad_usage_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*arguments) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
