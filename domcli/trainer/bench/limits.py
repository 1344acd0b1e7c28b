"""What this device can do, measured: a large matrix product, and a large copy."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from domcli.trainer.bench.floor import Limits, known_peak
from domcli.trainer.device import name, wait_for

ROWS = {"cuda": (8192,), "cpu": (1024, 2048)}
"""Sizes of the product. The small one is over before another program takes the core, the large one fills more of it."""
COPIED_BYTES = {"cuda": 1 << 30, "cpu": 1 << 27}
SECONDS = 0.7
"""That each measurement is repeated for; the fastest counts, so that other programs disturb it little."""


def measure_limits(device: torch.device, precision: torch.dtype) -> Limits:
    """Return the peaks of a device: FLOP/s in this precision, known or of a matrix product, and bytes/s of a copy.

    A copy moves each byte twice: it is read and written.
    """
    peak = known_peak(name(device)) if device.type == "cuda" and precision == torch.bfloat16 else None
    source = "data sheet, dense bfloat16"
    if peak is None:
        peak, rows = max((matrix_product(device, precision, rows), rows) for rows in ROWS[device.type])
        source = f"matrix product of {rows} x {rows} in {str(precision).removeprefix('torch.')}, measured"
    size = COPIED_BYTES[device.type]
    return Limits(peak, source, copy_bandwidth(device, size), f"copy of {size >> 20} MiB, measured")


def matrix_product(device: torch.device, precision: torch.dtype, rows: int) -> float:
    """Return FLOP/s of the product of two square matrices."""
    left, right = (torch.randn(rows, rows, device=device).to(precision) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * rows**3 / _fastest(lambda: torch.mm(left, right, out=out), device)


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Return bytes/s read and written by a copy of `size` bytes."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source), device)


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the fastest repetition, after one that warms up."""
    work()
    wait_for(device)
    fastest, end = float("inf"), time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < end:
        work()
        wait_for(device)
        fastest = min(fastest, time.perf_counter() - began)
    return fastest
