"""The device: PyTorch and the driver see the same GPU, and a first start does on it all that a run does.

Found: `about` (as environment.json has it), `capability`, `bfloat16`, `copy_bytes_per_s`, `first_start`.
"""

from __future__ import annotations

import torch
from stage_report import Place, Report
from stage_training import (
    described,
    device_of,
    do_steps,
    engine_of,
    index_of,
    recorder_of,
    settings_of,
    training_of,
)

from domcli import devices as seen_by_driver
from domcli.computation import Computation
from domcli.trainer import device as devices
from domcli.trainer.bench.limits import COPIED_BYTES, copy_bandwidth
from domcli.trainer.fast import cuda
from domcli.trainer.fast.recorded import RecordingEngine

NORMALLY_LONG = cuda.LONG


def run(place: Place, report: Report) -> None:
    """Look at the device, then start on it."""
    device = device_of(place)
    devices.prepare(device)
    report.keep("about", devices.describe(device))
    _seen_alike(device, report)
    bfloat16 = devices.resolve_precision("auto", device) == torch.bfloat16
    report.keep("bfloat16", bfloat16)
    bandwidth = copy_bandwidth(device, COPIED_BYTES[device.type])
    report.keep("copy_bytes_per_s", bandwidth)
    computes = "bfloat16" if bfloat16 else "not fast at bfloat16: runs compute in float32"
    report.line(f"{devices.name(device)}, copies {bandwidth / 1e12:.2f} TB/s, {computes}")
    _first_start(place, report)
    _further_engines(place, report)


def _seen_alike(device: torch.device, report: Report) -> None:
    """Compare what PyTorch and the driver's library say of the GPU; a CPU has no driver."""
    gpus = {gpu.uuid: gpu for gpu in seen_by_driver.gpus()} if device.type == "cuda" else {}
    report.keep("driver", {"version": seen_by_driver.driver_version(), "gpus": [gpu.product for gpu in gpus.values()]})
    if device.type != "cuda":
        report.expect(bool(devices.name(device)), "the CPU has no name")
        return
    about = torch.cuda.get_device_properties(device)
    report.keep("capability", [about.major, about.minor])
    seen = gpus.get(f"GPU-{about.uuid}")
    report.expect(seen is not None, f"the driver's library does not know PyTorch's {about.name}, or under another UUID")
    if seen is not None:
        report.expect(seen.product == about.name, f"PyTorch calls {about.name} what the driver calls {seen.product}")


def _first_start(place: Place, report: Report) -> None:
    """Measure, record and train as the first run on a machine does, compiling left out; a small batch in between."""
    settings = settings_of(place, "pgd-10-remove")
    training = training_of(place, settings, 10 * settings.train.batch_size)
    engine = RecordingEngine(training, recorder_of(place))
    cuda.LONG = float("inf")
    try:
        cuda.settle(training, engine, Computation(), (50_000, 10_000), recorder_of(place))
    finally:
        cuda.LONG = NORMALLY_LONG
    do_steps(engine, 3)
    engine.step(index_of(training, 3)[: settings.train.batch_size // 2], 0.01, True)
    do_steps(engine, 2, first=4)
    totals, about = training.meter.read(), described(place, engine)
    report.keep("first_start", about)
    report.expect("no_graphs" not in about, f"steps are not recorded: {about.get('no_graphs')}")
    report.expect(totals.is_finite, "a loss is not finite after six steps")
    seen = 5 * settings.train.batch_size + settings.train.batch_size // 2
    report.expect(totals.seen == seen, f"six steps saw {totals.seen} patterns, not {seen}")
    report.expect(totals.removed > 0, "DOM removed nothing, though half of the patterns were under the threshold")


def _further_engines(place: Place, report: Report) -> None:
    """Record anew where the graphs of an earlier engine are gone, as a second run in one process does."""
    settings = settings_of(place, "natural-remove")
    for number in range(2):
        training = training_of(place, settings, 10 * settings.train.batch_size)
        engine = engine_of(place, training, "graphs")
        do_steps(engine, 2)
        report.expect("no_graphs" not in engine.describe(), f"engine {number + 2} cannot record: {engine.describe()}")
        report.expect(training.meter.read().is_finite, f"losses of engine {number + 2} are not finite")
        del training, engine
