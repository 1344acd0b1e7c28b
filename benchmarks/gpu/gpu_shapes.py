"""Convolutions and batch norm of PreActResNet-18 alone, by shape, in bfloat16 and channels last; batch 128.

Found: `convolutions`, by layer and manner (deterministic or not, cuDNN's heuristics or its benchmark), microseconds of
each direction; `batch_norms`, by channels and size, microseconds of forward, backward and ReLU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from stage_report import Place, Report
from stage_training import device_of
from torch import Tensor

from domcli.trainer import device as devices
from domcli.trainer.fast.graphs import record

BATCH = 128
INNER, REPEATS = 20, 5
"""Calls recorded as one graph, so that launches do not count, and replays, whose median counts."""
MANNERS = ((True, False), (True, True), (False, True))
"""cuDNN's `deterministic` and `benchmark`; the first is that of the trainer."""


@dataclass(frozen=True)
class Layer:
    """A convolution: channels in and out, pixels a side of its input, kernel, stride."""

    inputs: int
    outputs: int
    size: int
    kernel: int
    stride: int

    def __str__(self) -> str:
        return f"{self.inputs}-{self.outputs} {self.size} k{self.kernel} s{self.stride}"


LAYERS = (
    *(Layer(3, 64, 32, 3, 1), Layer(64, 64, 32, 3, 1), Layer(64, 128, 32, 3, 2), Layer(128, 128, 16, 3, 1)),
    *(Layer(128, 256, 16, 3, 2), Layer(256, 256, 8, 3, 1), Layer(256, 512, 8, 3, 2), Layer(512, 512, 4, 3, 1)),
    Layer(64, 128, 32, 1, 2),
)
NORMS = ((64, 32), (128, 16), (256, 8), (512, 4))


def run(place: Place, report: Report) -> None:
    """Time the layers."""
    device = device_of(place)
    devices.prepare(device)
    batch, layers, norms = (2, LAYERS[:1], NORMS[:1]) if place.cpu else (BATCH, LAYERS, NORMS)
    convolutions: dict[str, dict[str, float]] = {}
    for deterministic, benchmark in MANNERS:
        _compute(deterministic, benchmark)
        for layer in layers:
            manner = f"{'deterministic' if deterministic else 'free'}, {'benchmark' if benchmark else 'heuristics'}"
            found = _convolution(layer, batch, device)
            convolutions[f"{layer}, {manner}"] = found
            report.keep("convolutions", convolutions)
            print(f"{layer!s:18} {manner:26}", *(f"{name} {us:7.1f} us" for name, us in found.items()), flush=True)
    _compute(*MANNERS[0])
    batch_norms = {f"{channels} {size}": _batch_norm(channels, size, batch, device) for channels, size in norms}
    report.keep("batch_norms", batch_norms)
    for name, found in batch_norms.items():
        print(f"batch norm {name:8}", *(f"{part} {us:7.1f} us" for part, us in found.items()), flush=True)
    report.line(f"{len(convolutions)} convolutions and {len(batch_norms)} batch norms timed, see results.json")


def _compute(deterministic: bool, benchmark: bool) -> None:
    """Have PyTorch choose among algorithms so; its own mode would else ask for deterministic ones as well."""
    torch.set_deterministic_debug_mode("warn" if deterministic else "default")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark


def _convolution(layer: Layer, batch: int, device: torch.device) -> dict[str, float]:
    x = _pictures((batch, layer.inputs, layer.size, layer.size), device)
    w = _pictures((layer.outputs, layer.inputs, layer.kernel, layer.kernel), device)
    padding = layer.kernel // 2
    g = torch.randn_like(F.conv2d(x, w, stride=layer.stride, padding=padding))

    def backward(images: bool, weights: bool) -> Callable[[], object]:
        masks = (images, weights, False)
        shape = ((layer.stride,) * 2, (padding,) * 2, (1, 1), False, (0, 0), 1)
        return lambda: torch.ops.aten.convolution_backward(g, x, w, None, *shape, masks)

    directions: dict[str, Callable[[], object]] = {
        "forward": lambda: F.conv2d(x, w, stride=layer.stride, padding=padding),
        "images": backward(True, False),
        "weights": backward(False, True),
    }
    return {name: _microseconds(work, device) for name, work in directions.items()}


def _batch_norm(channels: int, size: int, batch: int, device: torch.device) -> dict[str, float]:
    layer = torch.nn.BatchNorm2d(channels).to(device)
    weight, bias, mean, var = layer.weight, layer.bias, layer.running_mean, layer.running_var
    x = _pictures((batch, channels, size, size), device)
    with torch.no_grad():
        out, saved, inverse = torch.native_batch_norm(x, weight, bias, mean, var, True, 0.1, 1e-5)
        parts: dict[str, Callable[[], object]] = {
            "forward": lambda: torch.native_batch_norm(x, weight, bias, mean, var, True, 0.1, 1e-5),
            "backward": lambda: torch.ops.aten.native_batch_norm_backward(
                out, x, weight, mean, var, saved, inverse, True, 1e-5, (True, False, False)
            ),
            "relu": lambda: torch.relu(out),
        }
        return {name: _microseconds(work, device) for name, work in parts.items()}


def _pictures(shape: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.randn(shape, device=device, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)


def _microseconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median microseconds of a call, on CUDA within a graph."""

    def repeated() -> tuple[Tensor, ...]:
        for _ in range(INNER):
            work()
        return ()

    replay = record(repeated, (), ()) if device.type == "cuda" else repeated
    replay()
    times = []
    for _ in range(REPEATS):
        devices.wait_for(device)
        began = time.perf_counter()
        replay()
        devices.wait_for(device)
        times.append((time.perf_counter() - began) / INNER)
    return round(1e6 * statistics.median(times), 2)
