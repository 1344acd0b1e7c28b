"""From the command line to the checkpoint and back, with the real trainer on a very small experiment."""

from __future__ import annotations

import json
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
