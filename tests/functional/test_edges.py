"""Odd names, copied runs and outputs that cannot be written: sentences, not tracebacks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domcli.process import liveness
from domcli.rundir import RunDirectory
from domcli.runs import read_run

NAME = "pgd-dom-re-seed0"


@pytest.mark.parametrize("name", ["", ".", "x" * 300, "a/b"])
def test_a_name_that_cannot_be_one_is_refused_as_that(cli, name: str) -> None:
    done = cli("run", "pgd-dom-re", "--quick", "--name", name, scenario="finish")
    assert done.returncode == 2
    assert "is not a run name" in done.stderr
    assert not Path("runs").exists()


def test_a_copied_run_cannot_stop_the_original(cli, until) -> None:
    run = RunDirectory(Path("runs", NAME).absolute())
    cli("run", "pgd-dom-re", "--set", "train.epochs=4", "--detach", scenario="wait")
    until(lambda: read_run(run).status == "running")
    shutil.copytree(run.path, run.path.with_name("copy"))
    states = {one["name"]: one["state"] for one in cli.json("runs", "--json")}
    assert states == {NAME: "running", "copy": "lost"}
    refused = cli("stop", "copy")
    assert refused.returncode == 2
    assert read_run(run).status == "running"
    identity = run.read_process()
    assert liveness(identity) == "alive"
    assert cli("stop", "--kill", NAME).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_under_stdout_is_one_sentence(cli) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "domcli", "presets"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_several_problems_are_each_an_error(cli) -> None:
    done = cli("run", "pgd-dom-re", "--set", "train.epochs=0", "--set", "dom.strenght=1")
    assert done.returncode == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "error"]


def test_runs_elsewhere_are_pointed_to_there(cli) -> None:
    done = cli("run", "pgd-dom-re", "--set", "train.epochs=4", "--runs-dir", "elsewhere", scenario="finish")
    assert "domcli runs --runs-dir elsewhere" in done.stdout
