"""Choice of device, arithmetic and threads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from domcli.errors import DeviceError
from domcli.trainer import device as devices

CPU = torch.device("cpu")


def test_a_cpu_is_always_there() -> None:
    assert devices.select_device("cpu") == CPU
    assert devices.describe(CPU)["torch"] == torch.__version__
    assert devices.peak_memory(CPU) > 10 << 20


@pytest.mark.parametrize("wanted", ["gpu", "cuda:x", "cuda:-1", "tpu:0"])
def test_unknown_devices_are_named_with_what_would_be_right(wanted: str) -> None:
    with pytest.raises(DeviceError, match=r"must be auto, cpu, cuda or cuda:N"):
        devices.select_device(wanted)


def test_cuda_without_a_gpu_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.select_device("auto") == CPU
    for wanted in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match=f"'{wanted}' is not available.*use --device cpu"):
            devices.select_device(wanted)


def test_a_gpu_number_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.select_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match=r"has 2 GPUs"):
        devices.select_device("cuda:2")


@pytest.mark.parametrize(("flags", "expected"), [("fpu amx_bf16 sse", torch.bfloat16), ("fpu avx2", torch.float32)])
def test_bfloat16_is_automatic_only_where_the_cpu_is_fast_at_it(
    flags: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"processor: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\n"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: text)
    assert devices.resolve_precision("auto", CPU) == expected
    assert devices.resolve_precision("float32", CPU) == torch.float32
    assert devices.resolve_precision("bfloat16", CPU) == torch.bfloat16
    assert devices.name(CPU) == "Some CPU"


def test_little_work_runs_on_one_thread() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        devices.limit_threads(1.0)
        assert torch.get_num_threads() == 2
        devices.limit_threads(1 / 500)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
