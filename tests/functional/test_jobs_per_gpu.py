"""`--jobs-per-gpu`: a number, or auto, which goes by what `domcli bench --together` has measured."""

from __future__ import annotations

import pytest
from measured import remember_that_two_are_best

from domcli import devices
from domcli.rundir import RunDirectory


def test_as_many_at_a_time_as_were_measured_to_be_best(cli, tmp_path):
    cli.play("wait")
    remember_that_two_are_best("pgd")
    pgd, both = ("run", "pgd-dom-re", "--device", "cpu"), ("run", "pgd-dom-re", "natural-dom-re", "--device", "cpu")
    assert " on cpu, 2 at a time: " in cli(*pgd, "--dry-run").stdout
    assert " on cpu, 3 at a time: " in cli(*pgd, "--dry-run", "--jobs-per-gpu", "3").stdout
    assert " on cpu, one after another: " in cli(*pgd, "--dry-run", "--set", "model.width=32").stdout
    assert " on cpu, 1 to 2 at a time: " in cli(*both, "--dry-run").stdout
    assert "share a device" not in cli(*pgd, "--dry-run").stderr
    found = cli.json(*both, "--dry-run", "--json")
    assert ([run["jobs_per_gpu"] for run in found["runs"]], found["slots"]) == ([2, 1], 1)


def test_queued_and_resumed_runs_keep_to_what_is_best(cli, tmp_path):
    cli.play("wait")
    remember_that_two_are_best("pgd")
    begun = ("run", "pgd-dom-re", "--seeds", "0-2", "--device", "cpu", "--detach")
    assert cli(*begun).returncode == 0
    runs = [RunDirectory(tmp_path / "runs" / f"pgd-dom-re-seed{seed}") for seed in range(3)]
    assert [run.read_ticket().jobs for run in runs] == [2, 2, 2]
    assert "(up to 2 runs at a time)" in cli("show", "pgd-dom-re-seed2").stdout
    cli("stop", "pgd-dom-re-seed2")
    for number, jobs in (("auto", 2), ("5", 5)):
        done = cli("resume", "pgd-dom-re-seed2", "--device", "cpu", "--detach", "--jobs-per-gpu", number)
        assert done.returncode == 0, done.stderr
        assert runs[2].read_ticket().jobs == jobs
        cli("stop", "pgd-dom-re-seed2")


@pytest.mark.parametrize("command", ["run pgd-dom-re", "resume a-run", "retry"])
def test_another_number_of_jobs_is_a_sentence(cli, tmp_path, command):
    cli("run", "pgd-dom-re", "--name", "a-run", scenario="die")
    done = cli(*command.split(), "--jobs-per-gpu", "many")
    assert done.returncode == 2
    assert "--jobs-per-gpu many: write auto, or a whole number, 1 or more" in done.stderr


def test_a_dry_run_says_that_times_of_runs_alone_are_shorter(cli):
    quick = ("run", "pgd-dom-re", "--quick", "--device", "cpu")
    cli(*quick, scenario="brisk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "cpu_name", lambda: "a machine")  # on which the fake trainer trains
        done = cli(*quick, "--dry-run", "--jobs-per-gpu", "2")
    assert " on cpu, 2 at a time: about " in done.stdout
    assert "runs that share a device take longer than those that were timed alone" in done.stderr
