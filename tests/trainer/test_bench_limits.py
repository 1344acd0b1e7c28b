"""What a device can do: the fastest of several repetitions counts, and a known GPU is not measured."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch

from domcli.trainer.bench import limits

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Time passes only while work is done: so many seconds in turn; the first repetition warms up and is not timed."""

    def set_durations(*durations: float) -> None:
        # Read at the start, and then before and after each repetition.
        steps = [0.0, 0.0]
        for duration in durations:
            steps += [duration, 0.0]
        times = iter(accumulate(steps))
        monkeypatch.setattr(limits.time, "perf_counter", lambda: next(times))

    return set_durations


@pytest.mark.parametrize(("size", "expected"), [(1 << 16, 2 * (1 << 16) / 0.25)])
def test_a_copy_moves_every_byte_twice(clock, monkeypatch, size, expected):
    monkeypatch.setattr(limits, "SECONDS", 1.0)
    clock(0.5, 0.25, 0.5)
    assert limits.copy_bandwidth(CPU, size) == expected


def test_a_product_of_n_rows_is_two_n_cubed(clock, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 1.0)
    clock(0.5, 0.25, 0.5)
    assert limits.matrix_product(CPU, torch.float32, 32) == 2 * 32**3 / 0.25


def test_the_best_product_is_the_peak(monkeypatch):
    monkeypatch.setattr(limits, "matrix_product", lambda _device, _precision, rows: {1024: 3e12, 2048: 2e12}[rows])
    monkeypatch.setattr(limits, "copy_bandwidth", lambda _device, _size: 1e10)
    found = limits.measure_limits(CPU, torch.bfloat16)
    assert (found.flops, found.bandwidth) == (3e12, 1e10)
    assert found.flops_source == "matrix product of 1024 x 1024 in bfloat16, measured"
    assert found.bandwidth_source == "copy of 128 MiB, measured"


@pytest.mark.parametrize(
    ("precision", "peak"), [(torch.bfloat16, 989e12), (torch.float32, 5e13)], ids=["known", "measured"]
)
def test_the_data_sheet_knows_bfloat16_alone(monkeypatch, precision, peak):
    monkeypatch.setattr(limits, "name", lambda _device: "NVIDIA H200")
    monkeypatch.setattr(limits, "matrix_product", lambda *_: 5e13)
    monkeypatch.setattr(limits, "copy_bandwidth", lambda *_: 4e12)
    found = limits.measure_limits(torch.device("cuda"), precision)
    assert found.flops == peak
    assert ("data sheet" in found.flops_source) == (precision == torch.bfloat16)
