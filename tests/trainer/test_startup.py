"""What a start takes, what it does not load, and where compilers keep their results."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import finish, make_run

import domcli.trainer
from domcli import cachedir, cores
from domcli.devices import cpu_count
from domcli.events import BusyCores
from domcli.trainer import COMPILERS, SHORT_WAIT, SPINS, THREADS, TORCH_ENVIRONMENT, WAIT_POLICY, torch_environment
from domcli.trainer.__main__ import _nothing_collected
from domcli.trainer.startup import Startup

ALWAYS = {**TORCH_ENVIRONMENT, THREADS: str(cpu_count()), SPINS: SHORT_WAIT}
STAGES = ["interpreter", "torch", "device", "data", "network", "first_step"]

LOADED = """
import sys, torch
from domcli import presets
from domcli.trainer import data, device, loop, seeding
from domcli.trainer.fast import engine_for
from domcli.trainer.state import Training
chosen = presets.resolve("pgd-dom-re", ["model.width=2", "train.batch_size=8", "attack.steps=1"], quick=True)
cpu = device.select_device("cpu")
device.prepare(cpu)
training = Training.fresh(chosen, data.load(chosen.data, cpu), cpu)
engine_for(training).step(torch.arange(8), 0.1, True)
assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
print(*sorted(name for name in sys.modules if name.count(".") < 2))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in (*TORCH_ENVIRONMENT, *COMPILERS, THREADS, SPINS, WAIT_POLICY):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "domcli"


def test_the_first_step_on_a_cpu_is_done_without_compilers_torchvision_scikit_learn_and_pillow() -> None:
    told = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout.split()
    assert "torch.nn" in told
    heavy = ("torch._dynamo", "torch._inductor", "sympy", "triton", "torchvision", "sklearn", "scipy", "PIL")
    assert [name for name in heavy if name in told] == []


def test_a_trainer_notes_how_long_each_stage_of_its_start_took(tmp_path: Path) -> None:
    run = make_run(tmp_path, "natural-dom-re", "train.epochs=1")
    finish(run)
    noted = json.loads(run.environment.read_text())["startup"]
    for of in ("seconds", "cpu_seconds"):
        *stages, total = noted[of].items()
        assert [stage for stage, _ in stages] == STAGES
        assert total[0] == "total"
        assert total[1] == pytest.approx(sum(seconds for _, seconds in stages), abs=0.01)
        assert noted[of]["torch"] > noted[of]["network"] > 0


def test_stages_follow_each_other_from_the_launch_on() -> None:
    startup = Startup([("interpreter", 1000.5, 0.25), ("torch", 1003.0, 2.5), ("first_step", 1003.25, 2.75)])
    assert startup.describe(launched=1000.0) == {
        "startup": {
            "seconds": {"interpreter": 0.5, "torch": 2.5, "first_step": 0.25, "total": 3.25},
            "cpu_seconds": {"interpreter": 0.25, "torch": 2.25, "first_step": 0.25, "total": 2.75},
        }
    }


@pytest.mark.parametrize(("threads", "told"), [(2, True), (1, False)])
def test_a_start_tells_of_others_on_the_cores_that_its_threads_want(
    monkeypatch: pytest.MonkeyPatch, threads: int, told: bool
) -> None:
    found = {("first", "last"): BusyCores(busy=1.0, cores=2)}
    monkeypatch.setattr(cores, "look", lambda: "last")
    monkeypatch.setattr(cores, "others", lambda *seen: found[seen])
    started = Startup(first_look="first")
    assert (started.busy_cores(threads) is not None) is told


def test_what_is_loaded_is_kept_out_of_garbage_collection() -> None:
    before = gc.get_freeze_count()
    try:
        with _nothing_collected():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_compilers_keep_their_results_in_the_users_cache_which_is_theirs_alone(cache: Path) -> None:
    assert torch_environment() == {
        **ALWAYS,
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "compiled-code" / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "compiled-code" / "triton"),
    }
    assert (cache / "compiled-code").stat().st_mode & 0o777 == 0o700


def test_what_the_user_has_set_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    left = {key: value for key, value in torch_environment().items() if key != SPINS}
    assert sorted(left) == ["CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS", "TORCHINDUCTOR_CACHE_DIR"]


def test_where_the_cache_cannot_be_written_compilers_use_a_place_of_their_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cachedir.code_directory("compiled-code") is None
    assert torch_environment() == ALWAYS


def test_a_cache_that_others_may_write_to_is_not_used(cache: Path) -> None:
    (cache / "compiled-code").mkdir(parents=True)
    (cache / "compiled-code").chmod(0o775)
    assert torch_environment() == ALWAYS


def test_a_file_in_the_place_of_the_cache_is_no_cache(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("in the way")
    assert torch_environment() == ALWAYS


@pytest.mark.parametrize("variable", [SPINS, WAIT_POLICY])
def test_a_user_who_says_how_threads_wait_is_not_contradicted(
    cache: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    assert torch_environment()[SPINS] == SHORT_WAIT
    monkeypatch.setenv(variable, "active")
    assert SPINS not in torch_environment()


def test_threads_are_those_that_a_container_grants(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domcli.trainer, "cpu_count", lambda: 7)
    assert torch_environment()[THREADS] == "7"
    monkeypatch.setenv(THREADS, "3")
    assert THREADS not in torch_environment()
