"""How a run computes: decided at its first start, kept for each kind of device, and never trusted blindly."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_directories import make

from domcli import computation
from domcli.computation import Computation
from domcli.errors import RunDirectoryError


def test_what_was_decided_for_one_device_outlives_a_start_on_another(tmp_path: Path) -> None:
    run = make(tmp_path, "run")
    on_cpu = computation.keep(run, computation.read(run), Computation(plain=False, kernels="domcli", threads=4))
    assert computation.read(run) == on_cpu
    on_gpu = Computation(plain=False, graphs=True, network="compiled")
    computation.keep(run, computation.read(run), on_gpu)
    expected = Computation(plain=False, graphs=True, network="compiled", kernels="domcli", threads=4)
    assert computation.read(run) == expected
    computation.keep(run, expected, Computation(graphs=False, network="as written"))
    assert (computation.read(run).graphs, computation.read(run).network) == (False, "as written")


def test_older_runs_have_told_it_in_their_environment(tmp_path: Path) -> None:
    run = make(tmp_path, "run")
    run.update_environment({"plain": True, "kernels": "PyTorch: by choice", "threads": 3, "steps": "one at a time"})
    assert computation.read(run) == Computation(plain=True, kernels="PyTorch", threads=3)
    run.update_environment({"network": "compiled", "steps": "CUDA graphs", "kernels": "domcli", "threads": -1})
    assert computation.read(run) == Computation(plain=True, kernels="domcli", network="compiled", graphs=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"threads": -5}',
        b'{"threads": 1e99}',
        b'{"kernels": "foo\\u001b"}',
        b'{"plain": 3}',
        b"\xff",
    ],
)
def test_a_damaged_decision_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    run = make(tmp_path, "run")
    run.computation.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"computation\.json is damaged .*: remove the file"):
        computation.read(run)
