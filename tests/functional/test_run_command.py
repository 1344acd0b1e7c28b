"""`domcli run` and `domcli stop`, each end of a run, with the fake trainer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import tomli

from domcli.cli import stop
from domcli.events import Progress
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.stream import EventWriter

NAME = "pgd-dom-re-seed0"
SHORT = ("pgd-dom-re", "--set", "train.epochs=4")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The directory that `SHORT` makes."""
    return RunDirectory(tmp_path / "runs" / NAME)


def visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def without_control_characters(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text)


def test_a_run_ends_with_a_summary_on_stdout_and_all_else_on_stderr(cli, run):
    done = cli("run", *SHORT, scenario="finish")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"{NAME}: finished after 4 of 4 epochs"
    assert "best" in done.stdout
    assert "epoch 2  natural 52.00 %  PGD-20 32.00 %" in done.stdout
    assert "1.00 points" in done.stdout
    assert f"runs/{NAME}/trainer.log" in done.stdout
    assert f"domcli show {NAME}" in done.stdout
    assert "training on cpu" in done.stderr
    assert "training on cpu" not in done.stdout
    assert without_control_characters(done.stdout + done.stderr)
    assert read_run(run).status == "finished"


def test_a_pipe_gets_one_aligned_line_for_each_epoch(cli):
    lines = cli("run", *SHORT, scenario="finish").stderr.splitlines()
    header = next(number for number, line in enumerate(lines) if line.split()[:2] == ["epoch", "lr"])
    epochs = lines[header + 1 : header + 5]
    assert [line.split()[0] for line in epochs] == ["1", "2", "3", "4"]
    assert {len(line) for line in epochs} == {len(lines[header])}
    assert [("*" in line) for line in epochs] == [True, True, False, False]
    assert epochs[3].split()[-3:] == ["200/4", "150", "2.5"]


def test_json_is_all_of_stdout(cli):
    done = cli("run", *SHORT, "--seeds", "0,1", "--json", scenario="finish")
    found = json.loads(done.stdout)
    assert [(one["name"], one["seed"], one["state"]) for one in found] == [
        (NAME, 0, "finished"),
        ("pgd-dom-re-seed1", 1, "finished"),
    ]
    assert found[0]["best"] == {
        "epoch": 2,
        "natural_accuracy": 0.52,
        "pgd_accuracy": 0.32,
        "one_step_accuracy": None,
    }
    assert found[0]["last"]["epoch"] == 4


def test_settings_and_environment_are_in_the_run_directory(cli, run):
    cli("run", *SHORT, "--seeds", "7", "--name", NAME, scenario="finish")
    settings = tomli.loads(run.settings.read_text())
    assert (settings["train"]["epochs"], settings["train"]["seed"]) == (4, 7)
    environment = run.read_environment()
    assert environment["preset"] == "pgd-dom-re"
    assert environment["command_line"].endswith(f"--seeds 7 --name {NAME}")
    assert environment["torch"]


def test_a_second_run_of_a_preset_gets_a_number(cli):
    for _ in range(2):
        cli("run", *SHORT, scenario="finish")
    assert [one["name"] for one in cli.json("runs", "--json")] == [NAME, f"{NAME}-2"]


def test_an_explicit_name_must_be_unused_before_anything_is_trained(cli, tmp_path):
    assert cli("run", *SHORT, "--name", "mine-seed1", scenario="finish").returncode == 0
    done = cli("run", *SHORT, "--name", "mine", "--seeds", "0,1", scenario="finish")
    assert done.returncode == 2
    assert done.stderr == (
        "error: a run named 'mine-seed1' exists in runs; choose another --name, or delete that run\n"
    )
    assert visible(tmp_path / "runs") == ["mine-seed1"]


def test_every_preset_is_checked_before_the_first_is_run(cli, tmp_path):
    done = cli("run", "pgd-dom-re", "pgd-dom-rr", scenario="finish")
    assert done.returncode == 2
    assert "pgd-dom-rr" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nonsense"], "unknown preset 'nonsense'"),
        (["pgd-dom-re", "--set", "train.epoch=3"], "did you mean train.epochs"),
        (["pgd-dom-re", "--set", "attack.epsilon=-1"], "attack.epsilon"),
        (["pgd-dom-re", "--seeds", "0,one"], "--seeds '0,one'"),
        (["pgd-dom-re", "--seeds", "-1"], "--seeds '-1'"),
        (["pgd-dom-re", "--seeds", "1,0,1"], "1 is there more than once"),
        (["pgd-dom-re", "--seeds", "3-1"], "--seeds '3-1'"),
        (["pgd-dom-re", "--seeds", "0-100000"], "100,001 seeds; give 1,000 at the most"),
        (["pgd-dom-re", "pgd-dom-re", "natural-dom-re", "--name", "x"], "--name names the runs of one preset"),
        (["pgd-zzz*"], "no preset fits 'pgd-zzz*'"),
        ([], "nothing to run"),
        (["pgd-dom-re", "--device", "gpu"], "unknown device 'gpu'"),
        (["pgd-dom-re", "--name", "a/b"], "is not a run name"),
        (
            ["pgd-dom-re", "--set", "data.dataset=imagefolder", "--set", "data.root=absent"],
            "there is no folder",
        ),
        (["pgd-dom-re", "--runs-dir", "a-file"], "a-file is a file"),
        (["pgd-dom-re", "--runs-dir", "a-file/runs"], "a-file is a file"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_leaves_nothing(cli, tmp_path, arguments, part):
    (tmp_path / "a-file").touch()
    done = cli("run", *arguments, scenario="finish")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert part in done.stderr
    assert cli("run", *arguments, "--dry-run") == done
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]


def test_a_refusal_of_the_trainer_leaves_nothing(cli, tmp_path):
    done = cli("run", *SHORT, "--runs-dir", "new/runs", scenario="refuse")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: no CUDA device on this machine"
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_keeps_what_was_there(cli, tmp_path):
    cli("run", *SHORT, scenario="finish")
    assert cli("run", *SHORT, scenario="refuse").returncode == 2
    assert visible(tmp_path / "runs") == [NAME]


def test_a_bug_of_the_trainer_keeps_its_log(cli, run):
    done = cli("run", *SHORT, scenario="bug")
    assert done.returncode == 1
    assert f"error: {NAME}: KeyError: 'x'" in done.stderr
    assert "something unexpected" in run.log.read_text()


def test_a_failed_run_names_its_reason_and_log_and_the_others_go_on(cli):
    done = cli("run", *SHORT, "--seeds", "0,1", scenario="fail")
    assert done.returncode == 1
    sentence = "the natural loss became infinite in epoch 2, step 3"
    assert f"error: {NAME}: {sentence} (log: runs/{NAME}/trainer.log)\n" in done.stderr
    assert [one["state"] for one in cli.json("runs", "--json")] == ["failed", "failed"]


def test_a_killed_trainer_is_lost_and_can_be_resumed(cli):
    done = cli("run", *SHORT, scenario="die")
    assert done.returncode == 1
    assert f"error: {NAME}: the trainer was killed (SIGKILL)" in done.stderr
    assert f"domcli resume {NAME}" in done.stderr
    assert f"{NAME}: lost after 1 of 4 epochs" in done.stdout
    resumed = cli("resume", "pgd", scenario="finish")
    assert resumed.returncode == 0
    assert f"{NAME}: finished after 4 of 4 epochs" in resumed.stdout
    assert "going on after epoch 1" in resumed.stderr
    epochs = [line.split()[0] for line in resumed.stderr.splitlines() if line.endswith(" 2.5")]
    assert epochs == ["2", "3", "4"]


def test_a_crash_quotes_the_log(cli):
    done = cli("run", *SHORT, scenario="crash")
    assert done.returncode == 1
    assert "ended without a closing event (exit code 1)" in done.stderr
    assert "  | Segmentation fault in the third layer\n" in done.stderr


def interrupt_after_first_epoch(
    process: subprocess.Popen[str], run: RunDirectory, until: Callable[..., None], number: int
) -> None:
    until(lambda: read_run(run).state.epochs)
    process.send_signal(number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_stops_the_trainer_and_says_how_to_resume(cli, run, until, number, code):
    process = cli.begin("run", *SHORT, "--seeds", "0,1", scenario="wait")
    interrupt_after_first_epoch(process, run, until, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopping: trainers write checkpoints; press Ctrl-C again to kill them" in err
    assert f"{NAME} was stopped; go on with: domcli resume {NAME}\n" in err
    assert "pgd-dom-re-seed1 was stopped" in err
    assert [line.split()[1:3] for line in out.splitlines()[-2:]] == [["stopped", "1/4"], ["stopped", "0/4"]]
    other = RunDirectory(run.path.with_name("pgd-dom-re-seed1"))
    assert [read_run(one).status for one in (run, other)] == ["stopped", "stopped"]
    assert read_run(other).state.closing.reason == "taken out of the queue before it began"


def test_a_second_interrupt_kills_the_trainer(cli, run, until):
    process = cli.begin("run", *SHORT, scenario="stubborn")
    interrupt_after_first_epoch(process, run, until, signal.SIGINT)
    assert "stopping" in next(line for line in process.stderr if "stopping" in line)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "killing the trainer" in err
    assert f"{NAME} was killed; go on with: domcli resume {NAME}\n" in err
    assert f"{NAME}: lost after 1 of 4 epochs" in out


def test_leaving_lets_everything_go_on(cli, run, until):
    process = cli.begin("run", *SHORT, "--seeds", "0,1", scenario="wait")
    interrupt_after_first_epoch(process, run, until, signal.SIGQUIT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"2 runs go on in the background: {NAME}, pgd-dom-re-seed1\n" in err
    assert f"  all runs: domcli runs   follow one: domcli follow {NAME}   stop one: domcli stop {NAME}\n" in err
    assert [one["state"] for one in cli.json("runs", "--json")] == ["running", "queued"]
    assert cli("stop", NAME).returncode == 0
    until(lambda: [one["state"] for one in cli.json("runs", "--json")] == ["stopped", "running"])


def test_closing_the_terminal_leaves_the_trainer_running(cli, run, until):
    process = cli.begin("run", *SHORT, scenario="wait")
    interrupt_after_first_epoch(process, run, until, signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGHUP
    identity = run.read_process()
    assert psutil.pid_exists(identity.pid)
    assert os.getsid(identity.pid) == identity.pid
    stopped = cli("stop", NAME)
    assert stopped.returncode == 0
    assert read_run(run).status == "stopped"


def test_detach_returns_with_the_trainer_at_work(cli, run, until):
    done = cli("run", *SHORT, "--detach", "--json", scenario="wait")
    assert done.returncode == 0
    assert [one["name"] for one in json.loads(done.stdout)] == [NAME]
    until(lambda: read_run(run).status == "running" and read_run(run).state.epochs)
    refused = cli("resume", NAME, scenario="wait")
    assert refused.returncode == 2
    assert f"error: {NAME} already has a trainer (process {run.read_process().pid})" in refused.stderr
    assert cli("stop", "--kill", NAME).returncode == 0
    assert read_run(run).status == "lost"


def test_stop_says_what_is_awaited_and_waits_for_it(cli, run, until):
    cli("run", *SHORT, "--detach", scenario="stubborn")
    until(lambda: read_run(run).state.epochs)
    stopping = cli.begin("stop", NAME)
    line = stopping.stderr.readline()
    assert line == (
        f"{NAME} was asked to stop: its trainer is in epoch 2, ends what it has begun there, and then writes a "
        "checkpoint (Ctrl-C ends the waiting, not the stopping)\n"
    )
    os.kill(run.read_process().pid, signal.SIGUSR1)  # now it heeds
    _, err = stopping.communicate(timeout=60)
    assert (stopping.returncode, err) == (0, f"{NAME} was stopped; go on with: domcli resume {NAME}\n")


def test_stop_that_gives_up_says_what_is_awaited_and_what_can_be_done(cli, run, until, monkeypatch):
    monkeypatch.setattr(stop, "TELL_SECONDS", 0.1)
    monkeypatch.setattr(stop, "MOST_SECONDS", 0.2)
    cli("run", *SHORT, "--detach", scenario="stubborn")
    until(lambda: read_run(run).state.epochs)
    writer = EventWriter(run.events)
    writer.write(Progress(phase="test", epoch=2, step=3, steps=20, images_per_second=1.0))
    writer.close()
    done = cli("stop", NAME)
    assert done.returncode == 2
    assert f"error: {NAME} was asked to stop and has not within " in done.stderr
    assert "its trainer is in the test of epoch 2, at batch 3 of 20, ends what it has begun there" in done.stderr
    assert done.stderr.endswith(f"It stops once that is done; to end it at once: domcli kill {NAME}\n")
    assert read_run(run).status == "running"


def test_the_runs_folder_is_the_option_then_the_variable(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("DOMCLI_RUNS_DIR", str(tmp_path / "from-variable"))
    cli("run", *SHORT, scenario="finish")
    done = cli("run", *SHORT, "--runs-dir", "from-option", scenario="finish")
    assert (tmp_path / "from-variable" / NAME).is_dir()
    assert (tmp_path / "from-option" / NAME).is_dir()
    assert f"domcli show {tmp_path / 'from-option' / NAME}" in done.stdout
