"""The program that reproduces rows of the paper's tables, at its tiny size on the CPU, with the real trainer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from at_work import supervisors

from domcli import process
from domcli.rundir import RunDirectory
from domcli.runs import read_run

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "reproduce.sh"
NAMES = ["natural-baseline-cpu-seed0", "natural-dom-re-cpu-seed0"]
Begin = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start the program in an empty folder, as where domcli is not installed; what a failed test leaves is ended."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHON": sys.executable, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        environment.pop("PYTHONPATH", None)
        words = ["bash", str(SCRIPT), "--cpu", "--rows", "natural", *arguments]
        return subprocess.Popen(
            words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    yield start
    for supervisor in supervisors(tmp_path):
        supervisor.kill()
    for path in tmp_path.rglob("process.json"):
        identity = RunDirectory(path.parent).read_process()
        if identity is not None:
            process.signal(identity, signal.SIGKILL)


def results(tmp_path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((tmp_path / "reproduction" / "results.json").read_text())
    return content


def states(tmp_path: Path) -> dict[str, str]:
    return {one["name"]: one["run"]["state"] if one["run"] else "not begun" for one in results(tmp_path)["runs"]}


def test_what_is_stopped_is_gone_on_with_and_what_is_finished_left_alone(begin, tmp_path, until):
    first, second = (RunDirectory(tmp_path / "reproduction" / "runs" / name) for name in NAMES)
    called = begin("--together", "1")
    until(lambda: called.poll() is not None or first.path.exists())
    until(lambda: called.poll() is not None or read_run(first).state.epochs)
    called.send_signal(signal.SIGTERM)
    out, err = called.communicate(timeout=300)
    assert called.returncode == 3, err
    assert "asked to stop by SIGTERM" in err
    found = states(tmp_path)
    assert found[first.name] in ("stopped", "finished")
    assert found[second.name] != "finished"
    assert results(tmp_path)["missing_seconds"] > 0
    summary = (tmp_path / "reproduction" / "summary.txt").read_text()
    assert out.endswith(f"\n{summary}")
    assert "Call it again to go on with what is missing." in summary
    assert not supervisors(tmp_path)

    again = begin("--together", "2")
    out, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert states(tmp_path) == dict.fromkeys(NAMES, "finished")
    for run in (first, second):
        assert [epoch.epoch for epoch in read_run(run).state.epochs] == [1, 2]
        assert run.read_environment()["preset"] == run.name.removesuffix("-seed0")
    comparison = json.loads((tmp_path / "reproduction" / "comparison.json").read_text())
    assert [group["n"] for group in comparison["groups"]] == [1, 1]
    assert results(tmp_path)["paper"] == comparison["paper"]
    assert [match["reproduces"] for match in comparison["paper"]] == [False, False]
    assert "# Comparison" in (tmp_path / "reproduction" / "comparison.md").read_text()
    assert "Verdict: none, for no run has the paper's settings" in out
    assert out.count("its numbers mean nothing") == 1
    assert "NOT the paper's settings" not in out
    assert "jpeg" not in out.lower()
    assert out.rstrip().splitlines()[-1].startswith("All 2 runs are finished")

    before = {run.name: run.events.read_bytes() for run in (first, second)}
    done = begin()
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    assert f"leave: {', '.join(NAMES)}" in out
    assert {run.name: run.events.read_bytes() for run in (first, second)} == before


def test_ctrl_c_stops_the_trainers_and_has_its_own_exit_code(begin, tmp_path, until):
    first = RunDirectory(tmp_path / "reproduction" / "runs" / NAMES[0])
    called = begin("--together", "1")
    until(lambda: called.poll() is not None or first.path.exists())
    called.send_signal(signal.SIGINT)
    out, err = called.communicate(timeout=300)
    assert called.returncode == 130, err
    assert "asked to stop by SIGINT" in err
    assert "Call it again to go on with what is missing." in out.splitlines()[-1]
    until(lambda: not supervisors(tmp_path))
