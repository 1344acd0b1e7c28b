"""How OpenMP's threads wait in every process of domcli's that computes, as their library tells."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import assessed
import pytest
import tiny

from domcli import evaluations
from domcli.trainer import SHORT_WAIT, SPINS, THREADS, WAIT_POLICY
from domcli.trainer.bench.cases import Options
from domcli.trainer.bench.messages import Job, Side
from domcli.trainer.bench.workers import worker


@pytest.fixture(autouse=True)
def _says_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (SPINS, WAIT_POLICY):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OMP_DISPLAY_ENV", "verbose")
    monkeypatch.setenv(THREADS, "1")  # the plain loop on two would take minutes where others want the cores


def trainer(folder: Path) -> str:
    run = tiny.make_run(folder, "natural-baseline", "train.epochs=1")
    tiny.finish(run)
    return run.log.read_text()


def evaluation(folder: Path) -> str:
    run = assessed.trained(folder)
    asked = evaluations.prepare(run, assessed.plan(run, attack="pgd"))
    command = [sys.executable, "-m", "domcli.trainer.assess", str(asked), "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize("process", [trainer, evaluation])
def test_threads_look_for_a_moment_and_then_sleep(tmp_path: Path, process: Callable[[Path], str]) -> None:
    assert f"GOMP_SPINCOUNT = '{SHORT_WAIT}'" in process(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "said"), [("OMP_WAIT_POLICY", "active", "30000000000"), ("GOMP_SPINCOUNT", "77", "77")]
)
def test_a_user_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)
    assert f"GOMP_SPINCOUNT = '{said}'" in trainer(tmp_path)


@pytest.mark.parametrize(("side", "as_told"), [("domcli", True), ("trainer", True), ("plain", False)])
def test_a_benchmark_times_what_a_trainer_does_and_leaves_the_plain_loop_as_it_is(
    side: Side, as_told: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with worker(Job(side, Options(width=4, batch_size=8).settings("natural"), "cpu")) as process:
        process.ask("prepare" if side == "trainer" else "describe")
    said = capfd.readouterr().err
    assert "GOMP_SPINCOUNT = " in said
    assert (f"GOMP_SPINCOUNT = '{SHORT_WAIT}'" in said) is as_told
