"""Does the host wait for the GPU within an epoch? `python benchmarks/host_waits.py [--preset NAME ...]`, on CUDA.

PyTorch's profiler records every call to CUDA's run-time library during an epoch, after one that has recorded graphs.
Calls that wait for the device between the first step's beginning and the last one's end are counted; the exit code is
1 if there is one. With `--trace FILE` the last preset's time line is written, for Chrome or Perfetto.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from domcli.errors import DeviceError
from domcli.presets import available, resolve
from domcli.stream import NoSink
from domcli.trainer import device as devices
from domcli.trainer.bench.sides import engine_on, median_loss, synthetic_images
from domcli.trainer.engine import Engine
from domcli.trainer.loop import train_epoch
from domcli.trainer.report import ProgressReporter
from domcli.trainer.stop import StopFlag

STEPS = 20
WAITING = ("Synchronize", "cudaMemcpy", "cuMemcpy", "cudaFree")
"""Parts of the names of calls that wait for the device, unless they are asynchronous."""
STEP = "domcli step"


def main() -> None:
    """Profile an epoch of each preset and print what waited."""
    parser = argparse.ArgumentParser(description="Count the calls that wait for the GPU within an epoch.")
    parser.add_argument("--preset", nargs="+", default=[one.name for one in available() if "-dom-" in one.name])
    parser.add_argument("--trace", type=Path, help="write the last preset's time line to this file")
    options = parser.parse_args()
    try:
        device = devices.select_device("cuda")
    except DeviceError as error:
        sys.exit(f"error: {error}")
    found = {preset: _waits(preset, device, options.trace) for preset in options.preset}
    for preset, waits in found.items():
        names = ", ".join(f"{name} {count} times" for name, count in sorted(waits.items())) or "nothing waits"
        print(f"{preset:26} {STEPS} steps: {names}")
    sys.exit(1 if any(found.values()) else 0)


def waits_among(events: Sequence[Any]) -> Counter[str]:
    """Return how often each call occurs that waits for the device, from the first step to the last."""
    steps = [event.time_range for event in events if event.name == STEP]
    began, ended = min(step.start for step in steps), max(step.end for step in steps)
    within = [event.name for event in events if began <= event.time_range.start <= ended]
    calls = [name for name in within if name.startswith("cu") and "Async" not in name and "Host" not in name]
    return Counter(name for name in calls if any(part in name for part in WAITING))


def waits_of(engine: Engine, trace: Path | None = None) -> Counter[str]:
    """Return how often each call waited within an epoch of a training, which has done none before."""
    training = engine.training
    reporter, stop, step = ProgressReporter(training, NoSink()), StopFlag(), engine.step
    train_epoch(training, engine, reporter, stop)  # records the graphs
    training.step = 0
    training.meter.reset()

    def marked(index: torch.Tensor, lr: float, dom_active: bool) -> None:
        with record_function(STEP):
            step(index, lr, dom_active)

    engine.step = marked  # type: ignore[method-assign]
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if training.device.type == "cuda" else [])]
    with profile(activities=activities) as recorder:
        train_epoch(training, engine, reporter, stop)
    if trace is not None:
        recorder.export_chrome_trace(str(trace))
    events: Sequence[Any] = recorder.events()
    return waits_among(events)


def _waits(preset: str, device: torch.device, trace: Path | None) -> Counter[str]:
    settings = resolve(preset, ["train.max_lr=1e-6"])
    settings = resolve(preset, ["train.max_lr=1e-6", f"dom.threshold={median_loss(settings)}"])
    engine = engine_on(settings, device, *synthetic_images(STEPS * settings.train.batch_size))
    return waits_of(engine, trace)


if __name__ == "__main__":
    main()
