"""`domcli runs`, `show`, `logs`, `stop`, on runs that were written by the fake trainer or by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fake_trainer
import msgspec
import pytest
import tomli_w
from made_runs import another_machines_ticket, make

from domcli import rundir
from domcli.cli.plain import PlainView, describe
from domcli.devices import Device
from domcli.events import BusyCores, CheckpointSaved, Finished, encode
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.settings import Settings

SHORT = ("run", "pgd-dom-re", "--set", "train.epochs=4")
NAME = "pgd-dom-re-seed0"


@pytest.fixture
def finished(cli, tmp_path: Path) -> RunDirectory:
    """A finished run of four epochs."""
    assert cli(*SHORT, scenario="finish").returncode == 0
    return RunDirectory(tmp_path / "runs" / NAME)


@pytest.fixture
def queued(tmp_path: Path) -> RunDirectory:
    """A run that waits on another machine, where nobody launches it."""
    ticket = another_machines_ticket("queued-run", devices=(Device("cuda:0"), Device("cuda:2")), jobs=2, max_retries=3)
    settings = Settings().to_dict()
    return rundir.create(tmp_path / "runs", "queued-run", settings, {"preset": "pgd-dom-re", "created": 1e9}, ticket)


def test_an_empty_folder_teaches(cli):
    done = cli("runs")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no runs yet in runs; start one with: domcli run pgd-dom-re --quick\n"
    assert cli.json("runs", "--json") == []
    assert "no runs yet in there, which is not there; start one" in cli("runs", "--runs-dir", "there").stderr


@pytest.mark.usefixtures("queued")
def test_runs_lists_state_progress_and_accuracies(cli, finished, until):
    # Until then its supervisor has not noted how the trainer ended.
    until(lambda: not finished.ticket.exists())
    table = cli("runs").stdout
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}
    assert rows[NAME] == [NAME, "finished", "4/4", "32.00", "31.00", "PGD-20", "cpu", "-"]
    assert rows["queued-run"] == ["queued-run", "queued", "1", "0/200", "-", "-", "PGD-20", "-", "-"]
    found = {one["name"]: one for one in cli.json("runs", "--json")}
    assert found["queued-run"]["state"] == "queued"
    assert found["queued-run"]["epochs"] == 200
    assert found["queued-run"]["best"] is None
    assert found["queued-run"]["queue_place"] == 1
    created = finished.read_environment()["created"]
    assert found[NAME] == {
        "name": NAME,
        "state": "finished",
        "queue_place": None,
        "preset": "pgd-dom-re",
        "seed": 0,
        "epoch": 4,
        "epochs": 4,
        "progress": 1.0,
        "path": str(finished.path),
        "created": created,
        "device": "cpu",
        "best": {"epoch": 2, "natural_accuracy": 0.52, "pgd_accuracy": 0.32, "one_step_accuracy": None},
        "last": {"epoch": 4, "natural_accuracy": 0.54, "pgd_accuracy": 0.31, "one_step_accuracy": None},
        "memorization": {
            "high_confidence": 204,
            "original": 200,
            "transformed": 4,
            "removed": 150,
            "augmented": 0,
        },
        "seconds": 10.0,
        "remaining_seconds": None,
        "retries": None,
        "max_retries": None,
        "exit_code": 0,
        "cause": None,
        "reason": None,
        "problem": None,
        "findings": [],
    }


def test_damaged_runs_are_rows_with_their_problem(cli, finished, queued):
    finished.events.write_bytes(finished.events.read_bytes() + b"not an event\n")
    queued.settings.write_text("[train\n")
    (queued.path.parent / "plots").mkdir()
    found = {one["name"]: one["problem"] for one in cli.json("runs", "--json")}
    assert sorted(found) == [NAME, "queued-run"]
    assert "events.jsonl, line" in found[NAME]
    assert "cannot read" in found["queued-run"]
    table = cli("runs")
    assert table.returncode == 0
    assert "not an event" in " ".join(table.stdout.split())


@pytest.mark.parametrize(
    ("state", "kept", "told"),
    [
        ("lost", 1, "goes on after epoch 1, its last checkpoint: epochs 2 to 3 are done again, with the same numbers"),
        ("failed", 2, "goes on after epoch 2, its last checkpoint: epoch 3 is done again, with the same numbers"),
        ("lost", 0, "begins anew, for no checkpoint was kept: epochs 1 to 3 are done again, with the same numbers"),
        ("lost", 3, None),
        ("stopped", 1, None),
    ],
)
def test_show_says_which_epochs_are_done_again(cli, tmp_path: Path, state: str, kept: int, told: str | None) -> None:
    run = make("broken-off", state, epochs=3, runs_dir=tmp_path / "runs")
    lines = run.events.read_bytes().splitlines(keepends=True)
    if kept:
        saved = CheckpointSaved(label="last", path="checkpoints/last.safetensors", epoch=kept, time=1.0)
        lines.insert(kept + 1, encode(saved))  # after the start and so many epochs
    run.events.write_bytes(b"".join(lines))
    shown = cli("show", "broken-off").stdout
    assert ("done again" in shown) == (told is not None), shown
    if told is not None:
        assert re.search(rf"resume +{re.escape(told)}", shown), shown


@pytest.mark.usefixtures("finished")
def test_show_tells_what_differs_from_the_defaults(cli):
    text = cli("show", "pgd").stdout
    changed = text.partition("settings that differ from the defaults\n")[2].partition("\n\n")[0]
    assert changed == "  train.epochs = 4"
    assert "preset: pgd-dom-re" in text
    assert [line.split()[0] for line in text.splitlines()[-4:]] == ["1", "2", "3", "4"]


def test_show_as_json_has_settings_epochs_and_checkpoints(cli, finished):
    found = cli.json("show", str(finished.path), "--json")
    assert found["settings"]["train"]["epochs"] == 4
    assert found["environment"]["preset"] == "pgd-dom-re"
    assert [epoch["epoch"] for epoch in found["epoch_events"]] == [1, 2, 3, 4]
    assert found["epoch_events"][3]["memorization"]["removed"] == 150
    assert [saved["path"] for saved in found["checkpoints"]] == ["checkpoints/last.safetensors"]


def test_show_reports_a_damaged_run(cli, finished):
    finished.settings.write_text("[train]\nepochs = 'many'\n")
    text = cli("show", NAME)
    assert text.returncode == 0
    finished.settings.unlink()
    assert "problem: cannot read" in cli("show", NAME).stdout


def test_show_names_the_reason_of_a_failure(cli):
    cli(*SHORT, scenario="fail")
    assert "reason: the natural loss became infinite" in cli("show", NAME).stdout
    assert "the natural loss became infinite" in " ".join(cli("runs").stdout.split())


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize("command", ["show", "logs", "stop", "resume"])
def test_a_run_that_is_not_there_is_one_sentence(cli, command):
    done = cli(command, "absent")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no run named 'absent' in runs; it has queued-run\n"


@pytest.mark.usefixtures("finished")
def test_stop_without_a_trainer_is_one_sentence(cli):
    assert cli("stop", NAME).stderr == f"error: {NAME} has no trainer to stop: it is finished\n"
    make("forgotten", "lost").process.unlink()
    assert "has no trainer to stop: it is lost" in cli("stop", "forgotten").stderr


@pytest.mark.parametrize(
    ("content", "lines", "shown"),
    [
        ("a\nb\nc\n", "2", "b\nc\n"),
        ("a\nb\nc", "2", "b\nc"),
        ("a\nb\n", "9", "a\nb\n"),
        ("a\n", "0", ""),
        ("", "3", ""),
        ("\n\n", "1", "\n"),
        ("é" * 50_000 + "\nx" * 40_000 + "\n", "40000", "x\n" * 40_000),
    ],
)
def test_logs_shows_the_last_lines(cli, queued, content, lines, shown):
    queued.log.write_text(content)
    assert cli("logs", "queued-run", "-n", lines).stdout == shown


@pytest.mark.usefixtures("queued")
def test_logs_of_a_run_without_one_says_so(cli):
    done = cli("logs", "queued-run")
    assert (done.returncode, done.stdout) == (0, "")
    waits = "it waits at place 1 in the queue for cuda:0 or cuda:2 (up to 2 runs at a time)"
    assert done.stderr == f"queued-run has no log yet: {waits}\n"
    make("forgotten", "lost")
    expected = "forgotten has no log yet: its trainer has not been launched\n"
    assert cli("logs", "forgotten").stderr == cli("logs", "-f", "forgotten").stderr == expected


def test_show_of_a_queued_run_says_where_and_what_for_it_waits(cli, queued):
    text = cli("show", "queued-run").stdout
    assert "  queue          place 1 in the queue for cuda:0 or cuda:2 (up to 2 runs at a time)\n" in text
    assert "  retries        none so far, 3 at the most\n" in text
    assert "  next           domcli stop queued-run\n" in text
    found = cli.json("show", "queued-run", "--json")
    assert (found["queue_place"], found["devices"], found["max_retries"]) == (1, ["cuda:0", "cuda:2"], 3)


def test_show_of_a_retry_says_which_and_what_went_wrong_before(cli):
    run = make("again", "failed")
    run.write_ticket(another_machines_ticket("again", retries=1, max_retries=2, not_before=4e9))
    text = cli("show", "again").stdout
    assert "again: queued, 2 of 4 epochs done\n" in text
    assert "  retry            1/2, not before " in text
    assert "reason: the device has too little memory" in text


@pytest.mark.usefixtures("cli")
def test_lines_say_what_a_trainer_does_at_its_start(capsys):
    run = make("fresh", "starting")
    PlainView([run], [Settings()]).update([read_run(run)])
    assert capsys.readouterr().err == "fresh: starting: loading PyTorch and the data (log: runs/fresh/trainer.log)\n"


def test_the_start_says_that_others_use_the_cores():
    started = fake_trainer.started(2, "cpu", 0)
    assert describe(started).endswith(" parameters, 2 epochs")
    crowded = msgspec.structs.replace(started, busy_cores=BusyCores(busy=1.5, cores=2.0))
    assert describe(crowded) == f"{describe(started)}; other programs keep 1.5 of 2 cores busy, which slows it down"


def test_the_difference_is_that_of_the_numbers_beside_it(cli):
    run = make("rounded", "finished", epochs=0)
    ends = []
    for number, accuracy in enumerate((0.62004, 0.58626), start=1):
        end = fake_trainer.epoch_end(number, 2)
        test = msgspec.structs.replace(end.test, pgd_accuracy=accuracy)
        ends.append(msgspec.structs.replace(end, test=test, best=number == 1))
    started = fake_trainer.started(2, "cpu", 0)
    run.events.write_bytes(b"".join(map(encode, [started, *ends, Finished(seconds=1.0)])))
    text = cli("show", "rounded").stdout
    best, last = (float(shown) for shown in re.findall(r"  (?:best|last) .*PGD-20 ([\d.]+) %", text))
    assert f"{best - last:.2f} points (best - last)" in text
    assert f"{62.004 - 58.626:.2f}" != f"{best - last:.2f}"


def test_the_version_of_torch_is_the_installed_one_until_the_run_starts(cli, queued):
    environment = RunDirectory(Path("runs/queued-run")).read_environment()
    RunDirectory(Path("runs/queued-run")).environment.write_text(json.dumps({**environment, "torch": "9.8.7"}))
    assert "  torch: 9.8.7 (installed; its build is noted when the run starts)\n" in cli("show", "queued-run").stdout


def test_show_tells_how_long_the_start_took(cli, finished):
    assert "start:" not in cli("show", "pgd").stdout
    seconds = {"interpreter": 0.4, "torch": 2.86, "data": 0.0, "first_step": 0.12, "total": 3.38}
    finished.update_environment({"startup": {"seconds": seconds, "cpu_seconds": seconds}})
    stages = "(interpreter 0.4, torch 2.9, first step 0.1)"
    told = f"start: 3.4 s from the trainer's launch to the end of its first step {stages}"
    assert told in [line.strip() for line in cli("show", "pgd").stdout.splitlines()]
    assert cli.json("show", "pgd", "--json")["environment"]["startup"]["seconds"] == seconds


def test_show_tells_how_the_run_was_computed(cli, finished):
    assert "computed:" not in cli("show", "pgd").stdout
    finished.update_environment({"steps": "CUDA graphs", "network": "as written", "not_compiled": "too short"})
    told = "computed: CUDA graphs; network: as written; not compiled: too short"
    assert told in [line.strip() for line in cli("show", "pgd").stdout.splitlines()]


@pytest.mark.parametrize("damaged", [None, 3, {"seconds": [1]}, {"seconds": {"torch": "2"}}, {"seconds": {}}])
def test_show_of_a_start_that_is_noted_wrongly_leaves_it_out(cli, finished, damaged):
    finished.update_environment({"startup": damaged})
    shown = cli("show", "pgd")
    assert shown.returncode == 0
    assert "start:" not in shown.stdout


def test_show_of_a_lost_run_says_how_its_trainer_ended(cli):
    make("gone", "lost", exit_code=-9)
    text = cli("show", "gone").stdout
    assert "problem: its trainer was killed by SIGKILL\n" in text
    assert "domcli resume gone\n" in text


def test_logs_follows_until_the_trainer_has_ended(cli, finished):
    finished.log.write_text("first\nlast\n")
    assert cli("logs", "-f", NAME).stdout == "first\nlast\n"


def test_logs_follows_what_a_trainer_goes_on_writing(cli, tmp_path):
    cli(*SHORT, "--detach", scenario="wait")
    run = RunDirectory(tmp_path / "runs" / NAME)
    follower = cli.begin("logs", "-f", NAME)
    with run.log.open("a") as log:
        log.write("written later\n")
    assert follower.stdout.readline() == "written later\n"
    cli("stop", NAME)
    follower.communicate(timeout=60)
    assert follower.returncode == 0


def test_a_reader_that_goes_away_is_no_error(cli, finished):
    finished.log.write_text("x" * 1_000_000)
    process = cli.begin("logs", NAME)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(timeout=60)


def test_natural_training_is_judged_by_natural_accuracy(cli, finished):
    lines = [json.loads(line) for line in finished.events.read_text().splitlines()]
    for line in lines:
        if line["kind"] == "epoch":
            line["test"] = {"natural_loss": 1.0, "natural_accuracy": line["test"]["natural_accuracy"]}
            line["best"] = True
    finished.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {"train": {"epochs": 4}, "attack": {"name": "none"}, "evaluation": {"attack": "none"}}
    finished.settings.write_text(tomli_w.dumps(settings))
    row = next(line for line in cli("runs").stdout.splitlines() if NAME in line)
    assert row.split()[3:5] == ["54.00", "54.00"]
    text = cli("show", NAME).stdout
    assert "PGD" not in text
    assert "robust" not in text


def test_the_time_left_is_told_while_a_trainer_works(cli, until):
    cli(*SHORT, "--detach", scenario="wait")
    until(lambda: cli.json("runs", "--json")[0]["epoch"] == 1)
    found = cli.json("runs", "--json")[0]
    assert (found["state"], found["remaining_seconds"]) == ("running", 7.5)
    assert "0:00:08" in cli("runs").stdout
    cli("stop", "--kill", NAME)
