"""`domcli resume` and `retry`: what goes on, what is trained on beyond its end, and what is refused unchanged."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from domcli.launch.extend import extend
from domcli.rundir import RunDirectory
from domcli.runs import read_run

NAME = "pgd-dom-re-seed0"
SHORT = ("pgd-dom-re", "--set", "train.epochs=4")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The directory that `SHORT` makes."""
    return RunDirectory(tmp_path / "runs" / NAME)


def test_a_finished_run_is_not_resumed(cli):
    cli("run", *SHORT, scenario="finish")
    done = cli("resume", NAME, scenario="finish")
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {NAME} is finished: there is nothing left to resume; --epochs N trains it on to epoch N\n"
    )


def test_a_finished_run_is_trained_on(cli, run):
    cli("run", *SHORT, "--seeds", "0,1", scenario="finish")
    names = (NAME, "pgd-dom-re-seed1")
    done = cli("resume", *names, "--epochs", "6", scenario="finish")
    assert done.returncode == 0, done.stderr
    assert f"{NAME}: after 4 epochs its schedule has ended, and it goes on to epoch 6 at the last" in done.stderr
    assert [line.split()[1:3] for line in done.stdout.splitlines()[-2:]] == [["finished", "6/6"]] * 2
    found = read_run(run)
    assert (found.settings["train"]["epochs"], found.settings["train"]["schedule_epochs"]) == (6, 4)
    assert [epoch.epoch for epoch in found.state.epochs] == [1, 2, 3, 4, 5, 6]
    assert cli("resume", NAME, scenario="finish").returncode == 2
    refused = cli("resume", NAME, "--epochs", "6", scenario="finish")
    assert (refused.returncode, refused.stderr) == (
        2,
        f"error: {NAME} has 6 epochs already: --epochs 6 leaves nothing to train\n",
    )


def test_a_run_whose_launch_was_lost_after_it_was_to_go_on_is_resumed(cli, run):
    cli("run", *SHORT, scenario="finish")
    extend(run, 5)  # and then whoever was to queue it is killed
    assert cli("resume", NAME, scenario="finish").returncode == 0
    assert read_run(run).state.epochs_done == 5


def test_a_run_that_goes_on_is_as_old_as_before(cli, run):
    cli("run", *SHORT, scenario="finish")
    os.utime(run.settings, (1000, 1000))
    extend(run, 5)
    assert run.settings.stat().st_mtime == 1000


def test_a_run_that_cannot_be_trained_on_says_why_and_none_is_changed(cli, run, tmp_path):
    cli("run", *SHORT, scenario="finish")
    cli("run", "fgsm-dom-re", *SHORT[1:], scenario="finish")
    done = cli("resume", NAME, "fgsm-dom-re-seed0", "--epochs", "6", scenario="finish")
    assert done.returncode == 2
    assert "fgsm-dom-re-seed0 cannot be trained beyond epoch 4: there its cyclical schedule ends" in done.stderr
    path = tmp_path / "runs" / "fgsm-dom-re-seed0" / "settings.toml"
    assert f"begin a run of its own: domcli run {path.relative_to(tmp_path)} --set train.epochs=6 --name" in done.stderr
    assert read_run(run).settings["train"]["epochs"] == 4
    assert cli("resume", NAME, "--epochs", "200000").returncode == 2


def test_a_run_that_diverged_is_not_sent_into_it_again(cli, run):
    cli("run", *SHORT, scenario="fail")
    shown = cli("show", NAME).stdout
    assert f"domcli run runs/{NAME}/settings.toml --set train.max_lr=0.05 --name {NAME}-lower-lr" in shown
    assert "domcli resume" not in shown
    done = cli("retry", scenario="finish")
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {NAME} diverged, and would again: other settings are needed, in a new run\n",
    )
    done = cli("resume", NAME, scenario="finish")
    assert done.stderr.startswith(f"warning: {NAME} diverged; ")
    assert read_run(run).status == "finished"


def test_a_refused_resume_keeps_the_run(cli, run):
    cli("run", *SHORT, scenario="die")
    done = cli("resume", NAME, scenario="refuse")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: no CUDA device on this machine"
    assert len(read_run(run).state.epochs) == 1


def test_a_run_without_settings_is_not_told_to_name_a_preset(cli, run):
    cli("run", *SHORT, scenario="die")
    run.settings.unlink()
    done = cli("resume", NAME)
    assert done.returncode == 2
    assert done.stderr.endswith("settings.toml; every run has one, and says there how it is trained\n")


def test_a_run_with_settings_that_are_not_valid_is_not_launched(cli, run):
    cli("run", *SHORT, scenario="die")
    before = run.read_process()
    run.settings.write_text("[train]\nepochs = 0\n")
    done = cli("resume", NAME, scenario="finish")
    assert done.returncode == 2
    assert "train.epochs is 0" in done.stderr
    assert run.read_process() == before


@pytest.fixture
def finished_and_waiting(cli, run):
    """A finished run that is to be trained on, behind another that keeps the device."""
    cli("run", *SHORT, scenario="finish")
    cli("run", "natural-dom-re", *SHORT[1:], "--detach", scenario="wait")
    return run.settings.read_text()


def test_a_run_that_waits_to_be_trained_on_is_taken_out_unchanged(cli, run, until, finished_and_waiting):
    waiting = cli.begin("resume", NAME, "--epochs", "6")
    lines = [waiting.stderr.readline() for _ in range(2)]
    assert lines[1] == f"{NAME}: queued\n"
    found = read_run(run)
    assert (found.status, found.total_epochs) == ("queued", 6)
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (130, f"{NAME} was taken out of the queue; it is finished, as before\n")
    assert out.startswith(f"{NAME}: finished after 4 of 4 epochs")
    assert run.settings.read_text() == finished_and_waiting
    assert read_run(run).status == "finished"


def test_a_detached_run_that_waits_to_be_trained_on_is_stopped_unchanged(cli, run, finished_and_waiting):
    assert cli("resume", NAME, "--epochs", "6", "--detach").returncode == 0
    assert cli("runs", NAME, "--json").stdout.count('"epochs": 6') == 1
    assert cli("stop", NAME).returncode == 0
    assert run.settings.read_text() == finished_and_waiting
    found = read_run(run)
    assert (found.status, found.total_epochs) == ("finished", 4)


@pytest.mark.parametrize("damage", ["garbage", "folder", "fifo", "empty"])
def test_a_finished_run_whose_checkpoint_is_damaged_is_not_trained_on(cli, run, damage):
    cli("run", *SHORT, scenario="finish")
    before = run.settings.read_text()
    last = run.checkpoint("last")
    last.parent.mkdir(exist_ok=True)
    last.unlink(missing_ok=True)
    if damage == "folder":
        last.mkdir()
    elif damage == "fifo":
        os.mkfifo(last)
    else:
        last.write_bytes(b"garbage" * 70 if damage == "garbage" else b"")
    done = cli("resume", NAME, "--epochs", "6", "--detach")
    assert done.returncode == 2
    assert f"{NAME}/checkpoints/last.safetensors is not a readable domcli checkpoint" in done.stderr
    assert run.settings.read_text() == before
    assert (read_run(run).status, read_run(run).ticket) == ("finished", None)
