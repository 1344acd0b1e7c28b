"""From the command line to the checkpoint and back, with the real trainer on a very small experiment."""

from __future__ import annotations

import json
import os
import signal

from domcli.rundir import RunDirectory
from domcli.runs import read_run

TINY = (
    *("--quick", "--set", "model.width=2", "--set", "data.train_images=200", "--set", "data.test_images=50"),
    *("--set", "evaluation.steps=2", "--set", "attack.steps=2", "--set", "train.precision=float32"),
)


def test_a_preset_goes_from_settings_to_a_finished_run(cli, tmp_path):
    done = cli("run", "natural-dom-re", *TINY, "--set", "train.epochs=2", "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["state"], found["epoch"], found["epochs"], found["device"]) == ("finished", 2, 2, "cpu")
    assert 0 <= found["best"]["natural_accuracy"] <= 1
    assert found["best"]["pgd_accuracy"] is None
    run = RunDirectory(tmp_path / "runs" / "natural-dom-re-quick-seed0")
    assert run.checkpoint("last").is_file()
    assert run.checkpoint("best").is_file()
    assert run.read_environment()["preset"] == "natural-dom-re"


def test_a_device_that_is_not_there_is_one_sentence_and_leaves_nothing(cli, tmp_path):
    done = cli("run", "pgd-dom-re", *TINY, "--device", "cuda:99")
    assert done.returncode == 2
    assert "cuda" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_then_resume_finishes_the_run(cli, tmp_path, until):
    run = RunDirectory(tmp_path / "runs" / "pgd-dom-re-quick-seed0")
    process = cli.begin("run", "pgd-dom-re", *TINY, "--set", "train.epochs=100000", "--set", "checkpoint.every=0")
    until(lambda: read_run(run).state.epochs)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "domcli resume pgd-dom-re-quick-seed0" in err
    stopped = read_run(run)
    assert stopped.status == "stopped"
    assert cli("resume", "pgd", "--detach").returncode == 0
    until(lambda: read_run(run).state.epochs_done > stopped.state.epochs_done)
    assert cli("stop", "pgd").returncode == 0
    resumed = read_run(run)
    assert resumed.status == "stopped"
    assert [epoch.epoch for epoch in resumed.state.epochs] == list(range(1, resumed.state.epochs_done + 1))


def test_a_killed_trainer_is_lost_and_its_retry_equals_an_undisturbed_run(cli, tmp_path, until):
    arguments = ("run", "pgd-dom-re", *TINY, "--set", "train.epochs=6", "--set", "train.seed=3")
    assert cli(*arguments, "--name", "whole").returncode == 0
    assert cli(*arguments, "--name", "broken", "--detach").returncode == 0
    broken = RunDirectory(tmp_path / "runs" / "broken")
    until(lambda: read_run(broken).state.epochs_done >= 2)
    os.kill(broken.read_process().pid, signal.SIGKILL)
    until(lambda: [run["state"] for run in cli.json("runs", "broken", "--json")] == ["lost"])
    assert cli("retry").returncode == 0
    assert read_run(broken).status == "finished"
    whole, resumed = (cli.json("show", name, "--json") for name in ("whole", "broken"))
    assert resumed["settings"] == whole["settings"]
    assert [lasting(epoch) for epoch in resumed["epoch_events"]] == [lasting(epoch) for epoch in whole["epoch_events"]]
    assert resumed["best"] == whole["best"]


def lasting(epoch: dict[str, object]) -> dict[str, object]:
    """Return an epoch without what differs from one machine or moment to the next."""
    volatile = {"time", "seq", "train_seconds", "test_seconds", "images_per_second", "memory"}
    return {key: value for key, value in epoch.items() if key not in volatile}
