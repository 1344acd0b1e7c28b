"""Runs made of official logs: settings, record, names, and that it is all of them or none."""

from __future__ import annotations

import json

import pytest
from official_logs import arguments, epoch_line, opening, whole_log, write

from domcli import files, finding
from domcli.compare import compare, select
from domcli.errors import RunDirectoryError, SettingsError, StorageError
from domcli.events import Finished, Started, Stopped
from domcli.exchange.imports import read_runs, write_runs
from domcli.exchange.official import OfficialLogError, read_log
from domcli.exchange.official_settings import not_mapped, preset_of, settings_of
from domcli.presets import from_run, resolve
from domcli.runs import read_run


@pytest.fixture
def one(tmp_path):
    """Import one log and return the run."""

    def bring_in(lines, **options):
        runs = read_runs([write(tmp_path / "output.log", lines)], tmp_path / "runs", **options)
        return read_run(write_runs(runs, tmp_path / "runs")[0])

    return bring_in


def settings(tmp_path, lr_scale=1.0, **changes):
    lines = opening(**changes)
    return settings_of(read_log(write(tmp_path / "output.log", [*lines, *first_epoch(changes, lr_scale)])))


def first_epoch(changes, lr_scale):
    """The first line at the rate that the arguments give."""
    attack = changes.get("attack", "pgd")
    epochs, peak = changes.get("epochs", 4), arguments(**changes)["lr_max"]
    rate = 2 * peak / epochs if attack == "fgsm" else peak
    return [epoch_line(0, attack, lr=rate * lr_scale)]


PAPER = {
    "natural-dom-re": {"attack": "none", "epochs": 300, "clamp": 0.2},
    "natural-dom-augmix": {
        "attack": "none",
        "epochs": 300,
        "clamp": 0.2,
        "operate": "DA_AUG",
        "max_arg_iteration": 3,
        "arg_strength": 0.5,
    },
    "natural-baseline": {"attack": "none", "epochs": 300, "clamp": 0.0, "pgd_step_train": 7},
    "pgd-dom-re": {"epochs": 200},
    "pgd-dom-randaugment": {"epochs": 200, "operate": "DA_Rand", "max_arg_iteration": 2},
    "pgd-baseline": {"epochs": 200, "operate": "DA_AUG"},
    "fgsm-dom-re": {"attack": "fgsm", "epochs": 100, "clamp": 2.0},
}


@pytest.mark.parametrize("preset", PAPER)
def test_the_settings_of_the_paper_are_its_presets(tmp_path, preset):
    found = settings(tmp_path, seed=5, **PAPER[preset])
    assert found == resolve(preset, ["train.seed=5"])
    assert preset_of(found) == preset


def test_every_argument_reaches_its_setting(tmp_path):
    found = settings(
        tmp_path,
        model="WideResNet",
        batch_size=64,
        lr_max=0.05,
        restarts=3,
        epsilon=128.0,
        pgd_alpha=15,
        pgd_step_train=7,
        pgd_step_test=50,
        norm="l_2",
        seed=9,
        clamp=0.75,
        operate="DA_AUG",
        max_arg_iteration=4,
        arg_strength=0.25,
    )
    assert found.model.name == "wideresnet34-10"
    assert (found.train.batch_size, found.train.max_lr, found.train.seed) == (64, 0.05, 9)
    assert found.attack.model_dump() == {
        "name": "pgd",
        "norm": "l2",
        "epsilon": 128,
        "alpha": 15,
        "steps": 7,
        "restarts": 3,
    }
    assert (found.evaluation.alpha, found.evaluation.steps, found.evaluation.restarts) == (15, 50, 3)
    assert (found.dom.operate, found.dom.threshold) == ("augmix", 0.75)
    assert (found.dom.iterations, found.dom.strength) == (4, 0.25)
    assert preset_of(found) is None


def test_one_step_training_has_its_own_step_size(tmp_path):
    found = settings(tmp_path, attack="fgsm", fgsm_alpha=12.5, pgd_alpha=3)
    assert (found.attack.alpha, found.evaluation.alpha) == (12.5, 3)


def test_the_schedule_is_the_one_that_the_rates_follow(tmp_path):
    cyclical = [epoch_line(epoch, "none", lr=lr) for epoch, lr in enumerate((0.05, 0.1, 0.05, 0.0))]
    log = read_log(write(tmp_path / "output.log", [*opening(attack="none"), *cyclical]))
    assert settings_of(log).train.schedule == "cyclical"
    assert settings(tmp_path, attack="fgsm", lr_schedule="piecewise").train.schedule == "cyclical"
    assert settings(tmp_path).train.schedule == "piecewise"


@pytest.mark.parametrize(
    ("attack", "rates"),
    [
        ("pgd", [0.1] * 10 + [0.01] * 5 + [0.001] * 5),
        ("fgsm", [place / 50 for place in (*range(1, 11), *reversed(range(10)))]),
    ],
)
def test_every_epoch_is_held_against_the_schedule(tmp_path, attack, rates):
    lines = [epoch_line(epoch, attack, lr=lr) for epoch, lr in enumerate(rates)]
    log = write(tmp_path / "output.log", [*opening(attack=attack, epochs=20), *lines])
    assert settings_of(read_log(log)).train.epochs == 20
    lines[15] = epoch_line(15, attack, lr=rates[14])
    log = write(tmp_path / "output.log", [*opening(attack=attack, epochs=20), *lines])
    with pytest.raises(OfficialLogError, match=rf"line 19: the learning rate is {rates[14]:.4f}; expected"):
        settings_of(read_log(log))


REFUSED = {
    "rates of no schedule": ({"lr_scale": 0.3}, "line 4: the learning rate is 0.0300; expected 0.1000 (piecewise"),
    "another network": ({"model": "VGG"}, "line 1: the argument model is 'VGG'; expected one of PreActResNet18, Wide"),
    "another width": ({"model": "WideResNet", "width_factor": 4}, "line 1: WideResNet with width_factor=4"),
    "another norm": ({"norm": "l_1"}, "line 1: the argument norm is 'l_1'; expected one of l_inf, l_2"),
    "another operation": ({"operate": ["RE"]}, "line 1: the argument operate is ['RE']; expected one of RE, DA_AUG"),
    "text for a number": ({"epsilon": "8"}, 'line 1: attack.epsilon is "8" (text); it must be a number'),
    "a negative threshold": ({"clamp": -1.0}, "line 1: dom.threshold is -1.0; it must be greater than 0"),
}


@pytest.mark.parametrize(("changes", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_expressed_is_refused_by_line(tmp_path, changes, problem):
    with pytest.raises((OfficialLogError, SettingsError)) as caught:
        settings(tmp_path, **changes)
    assert str(caught.value).startswith(f"{tmp_path / 'output.log'}, {problem}")


def test_missing_arguments_are_listed(tmp_path):
    line = opening()[0].replace("pgd_alpha=2, ", "").replace("clamp=1.5, ", "")
    with pytest.raises(OfficialLogError, match="line 1: the arguments lack pgd_alpha, clamp;"):
        settings_of(read_log(write(tmp_path / "output.log", [line, *whole_log()[1:]])))


def test_more_epochs_than_the_arguments_say_are_refused(tmp_path):
    lines = [*opening(epochs=2), *(epoch_line(epoch, lr=0.1 / 10**power) for epoch, power in ((0, 0), (1, 2), (2, 2)))]
    with pytest.raises(OfficialLogError, match="line 6: epoch 2 stands here; expected no more than 2 epochs, 0 to 1"):
        settings_of(read_log(write(tmp_path / "output.log", lines)))


def test_a_run_that_resumes_as_another_is_refused(tmp_path):
    lines = [*whole_log((0.5, 0.6)), *opening(30, resume=2, clamp=2.0), epoch_line(2)]
    with pytest.raises(OfficialLogError, match=r"line 6: the run resumes with other arguments; .* line 1"):
        settings_of(read_log(write(tmp_path / "output.log", lines)))


def test_arguments_without_a_counterpart_are_named():
    assert not_mapped(arguments(beta=6.0)) == [
        "batch_size_test=128",
        "data_dir='../cifar-data'",
        "chkpt_iters=1000",
        "beta=6.0",
    ]


def test_an_imported_run_is_a_finished_run(one, tmp_path):
    run = one(whole_log(seed=2))
    assert (run.status, run.problem, run.directory.name) == ("finished", None, "PGD_DOM_RE")
    assert from_run(run.directory).train.seed == 2
    assert run.state.started.settings_digest == from_run(run.directory).digest()
    assert [epoch.epoch for epoch in run.state.epochs] == [1, 2, 3, 4]
    assert run.state.closing == Finished(time=run.state.epochs[-1].time, seq=5, seconds=pytest.approx(4 * 17.6))
    assert run.state.epochs[0].time - run.state.started.time == 60
    assert run.directory.log.read_text() == (tmp_path / "output.log").read_text()
    assert not run.directory.reserve.exists()


def test_the_best_is_the_first_of_the_highest_and_better_than_nothing(one):
    assert [epoch.best for epoch in one(whole_log((0.5, 0.6, 0.6, 0.7))).state.epochs] == [True, True, False, True]
    zero = whole_log((0.01, 0.2), attack="none", fname="zero")
    zero[3] = zero[3].replace("0.0100", "0.0000")
    assert [epoch.best for epoch in one(zero).state.epochs] == [False, True]


def test_columns_stand_where_a_trainer_would_put_them(one):
    epoch = one(whole_log((0.5,), attack="fgsm")).state.epochs[0]
    assert (epoch.train.natural_loss, epoch.train.natural_accuracy) == (1.1, 0.45)
    assert (epoch.train.robust_loss, epoch.train.robust_accuracy) == (1.2, 0.46)
    assert (epoch.train_attack.one_step_accuracy, epoch.train_attack.pgd_accuracy) == (0.46, 0.47)
    assert (epoch.test.natural_accuracy, epoch.test.one_step_accuracy, epoch.test.pgd_accuracy) == (0.48, 0.49, 0.5)
    epoch = one(whole_log((0.5,), fname="pgd")).state.epochs[0]
    assert (epoch.train.robust_accuracy, epoch.test.one_step_accuracy, epoch.test.pgd_accuracy) == (0.48, None, 0.5)
    epoch = one(whole_log((0.5,), attack="none", fname="natural")).state.epochs[0]
    assert (epoch.train.robust_accuracy, epoch.test.pgd_accuracy, epoch.test.natural_accuracy) == (None, None, 0.5)


def test_what_a_log_does_not_say_is_unknown_not_zero(one):
    run = one(whole_log())
    epoch = run.state.epochs[0]
    assert (epoch.memorization, epoch.memory, epoch.images_per_second) == (None, None, None)
    environment = run.directory.read_environment()
    assert (environment["hostname"], environment["torch"], environment["git_commit"]) == (None, None, None)


def test_what_is_not_as_the_log_says_is_remarked_with_the_reason(tmp_path):
    remarks = []
    for attack in ("fgsm", "pgd"):
        log = write(tmp_path / f"{attack}.log", whole_log(attack=attack, fname=attack))
        (run,) = read_runs([log], tmp_path / "runs")
        assert run.environment["import_remarks"] == list(run.remarks)
        assert {event.precision for event in run.events if isinstance(event, Started)} == {"not in the log"}
        remarks.append(run.remarks)
    (schedule, data), (alone,) = remarks
    assert schedule == (
        "the schedule is cyclical, as the logged learning rates show; the log's argument lr_schedule='piecewise' is "
        "one that the official script does not use"
    )
    assert data == alone
    assert data.startswith("the log does not name the data set: cifar10 is the only one of the official script")


def test_the_environment_says_where_it_comes_from(one, tmp_path):
    environment = one(whole_log(epochs=200, lr_max=0.1)[:5]).directory.read_environment()
    assert environment["preset"] == "pgd-dom-re"
    assert environment["imported_from"] == str(tmp_path / "output.log")
    assert environment["official_version"] == "V1.0.3"
    assert environment["official_arguments"] == arguments(epochs=200)


def test_settings_of_no_preset_are_called_as_the_run_was(one):
    assert one(whole_log()).directory.read_environment()["preset"] == "PGD_DOM_RE"


def test_a_log_that_ends_early_is_a_stopped_run(one):
    run = one(whole_log((0.5, 0.6)))
    assert run.status == "stopped"
    assert isinstance(run.state.closing, Stopped)
    assert (run.state.closing.epoch, run.state.closing.step) == (2, 0)
    assert run.state.closing.reason == "the imported log ends early, after 2 of 4 epochs"


def test_epochs_done_again_after_a_resume_count_once(one):
    lines = [*whole_log((0.5, 0.6, 0.7)), *opening(30, resume=2)]
    run = one([*lines, epoch_line(2, accuracy=0.55), epoch_line(3, accuracy=0.65)])
    assert run.status == "finished"
    assert [epoch.epoch for epoch in run.state.epochs] == [1, 2, 3, 4]
    assert [epoch.test.pgd_accuracy for epoch in run.state.epochs] == [0.5, 0.6, 0.55, 0.65]
    assert [epoch.best for epoch in run.state.epochs] == [True, True, False, True]
    assert run.state.closing.seconds == pytest.approx(4 * 17.6)


def test_the_same_log_again_is_refused_by_the_name_it_has(one, tmp_path):
    one(whole_log((0.5, 0.6)), name="mine")
    for lines in (whole_log((0.5, 0.6)), whole_log()):
        with pytest.raises(OfficialLogError, match="is imported already, as mine; delete that run, or choose another"):
            one(lines)
    assert one(whole_log(), name="again").directory.name == "again"
    with pytest.raises(RunDirectoryError, match="a run named 'mine' exists"):
        one(whole_log(), name="mine")
    assert {run.name for run in finding.list_runs(tmp_path / "runs")} == {"mine", "again"}


def test_names_are_made_of_the_official_ones(tmp_path):
    logs = [
        write(tmp_path / f"{number}.log", whole_log(fname=fname, seed=number))
        for number, fname in enumerate(["out/PGD_DOM_RE/", "PGD_DOM_RE", "my run", "..", "PGD_DOM_RE"])
    ]
    found = read_runs(logs, tmp_path / "runs")
    assert [run.name for run in found] == ["PGD_DOM_RE", "PGD_DOM_RE-2", "my-run", "official-run", "PGD_DOM_RE-3"]
    assert len(write_runs(found, tmp_path / "runs")) == 5


def test_all_are_checked_before_the_first_is_written(tmp_path):
    good = write(tmp_path / "good.log", whole_log())
    bad = write(tmp_path / "bad.log", [*whole_log()[:-1], "torn"])
    with pytest.raises(OfficialLogError, match=r"bad\.log, line 7"):
        read_runs([good, bad], tmp_path / "runs")
    with pytest.raises(OfficialLogError, match=r"same run as .*good\.log; give it once"):
        read_runs([good, write(tmp_path / "copy.log", whole_log())], tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_nothing_is_left_when_the_last_cannot_be_written(tmp_path, monkeypatch):
    logs = [write(tmp_path / f"{seed}.log", whole_log(seed=seed)) for seed in (1, 2)]
    runs = read_runs(logs, tmp_path / "runs")
    write_text = files.replace_text

    def full_disk(path, text):
        if path.name == "events.jsonl" and path.parent.name == "PGD_DOM_RE-2":
            raise OSError(28, "No space left on device")
        write_text(path, text)

    monkeypatch.setattr(files, "replace_text", full_disk)
    with pytest.raises(StorageError, match="No space left on device"):
        write_runs(runs, tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_arguments_that_are_no_json_are_refused(tmp_path):
    line = opening()[0].replace("data_dir='../cifar-data'", "data_dir={1, 2}")
    log = write(tmp_path / "output.log", [line, *whole_log()[1:]])
    with pytest.raises(OfficialLogError, match="line 1: expected arguments that are text, numbers or lists"):
        read_runs([log], tmp_path / "runs")


def test_the_stream_is_numbered_and_in_order(one):
    events = [json.loads(line) for line in one(whole_log()).directory.events.read_text().splitlines()]
    assert [event["kind"] for event in events] == ["started", *["epoch"] * 4, "finished"]
    assert [event["seq"] for event in events] == list(range(6))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_logs_of_every_paradigm_stand_in_one_comparison(tmp_path):
    logs = [
        write(tmp_path / f"{attack}-{seed}.log", whole_log((0.5, 0.6, 0.5, 0.4), attack=attack, seed=seed, **named))
        for attack, named in {"none": {"fname": "NO"}, "pgd": {"fname": "RO"}, "fgsm": {"fname": "CO"}}.items()
        for seed in (0, 1)
    ]
    write_runs(read_runs(logs, tmp_path / "runs"), tmp_path / "runs")
    comparison = compare(select(tmp_path / "runs", ["NO*", "RO*", "CO*"]))
    assert [(group.name, group.n) for group in comparison.groups] == [("NO", 2), ("RO", 2), ("CO", 2)]
    assert comparison.metrics == ["natural", "pgd", "one-step"]
    natural, robust, catastrophic = comparison.groups
    assert natural.values("natural", "diff") == pytest.approx({0: 20, 1: 20})
    assert not natural.measures("pgd")
    assert robust.values("pgd", "best") == pytest.approx({0: 60, 1: 60})
    assert catastrophic.values("one-step", "last") == pytest.approx({0: 39, 1: 39})
    assert all(record.environment["imported_from"] for group in comparison.groups for record in group.records)
