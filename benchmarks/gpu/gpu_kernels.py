"""Which kernels a recorded step consists of: by kind and by name, their number and their time, a step's time beside.

Found, by case: `ms` of a step, `kernels` a step, `kernels_ms`; `kinds` and `names`, each with [number, ms] a step. On a
CPU they are PyTorch's operations, those within others counted, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from stage_report import Place, Report
from stage_training import do_steps, engine_of, milliseconds, settings_of, steps_of, timed_steps, training_of
from torch.profiler import ProfilerActivity, profile

from domcli.trainer import device as devices

REPEATS = {"natural": 5, "pgd-10": 2}
KINDS = (
    ("batch norm", ("batch_norm", "batchnorm", "bn_", "welford")),
    ("convolution", ("conv", "gemm", "xmma", "cutlass", "implicit", "wgrad", "dgrad", "fprop", "nvjet", "cudnn")),
    ("compiled", ("triton",)),
    ("random", ("distribution", "philox")),
    ("copy, cast", ("copy", "cat", "memcpy", "memset")),
    ("reduction", ("reduce", "softmax", "nll")),
    ("sort, index", ("sort", "index", "scan", "gather", "scatter")),
    ("elementwise", ("elementwise", "foreach", "multi_tensor", "vectorized")),
)
"""Kinds of kernels, and the parts of names that tell; the first that fits counts."""
SHOWN = 14
KEPT = 60
Totals = dict[str, tuple[float, float]]
"""Number and seconds in a step."""


def run(place: Place, report: Report) -> None:
    """Profile replays of a step of each case."""
    for case, count in list(REPEATS.items())[: 1 if place.cpu else None]:
        settings = settings_of(place, case)
        training = training_of(place, settings, 20 * settings.train.batch_size)
        engine = engine_of(place, training, "graphs")
        seconds, _ = timed_steps(place, engine, 10)
        repeats = steps_of(place, count)
        activity = ProfilerActivity.CPU if place.cpu else ProfilerActivity.CUDA
        with profile(activities=[activity]) as recorder:
            do_steps(engine, repeats)
            devices.wait_for(training.device)
        events: Iterable[Any] = recorder.events()
        names = _by_name(events, repeats, on_gpu=not place.cpu)
        report.expect(bool(names), f"{case}: the profiler saw no kernel")
        _tell(case, seconds, names, report)
        del training, engine


def kind_of(name: str) -> str:
    """Return the kind of a kernel."""
    lower = name.lower()
    return next((kind for kind, words in KINDS if any(word in lower for word in words)), "other")


def _by_name(events: Iterable[Any], repeats: int, *, on_gpu: bool) -> Totals:
    wanted = "CUDA" if on_gpu else "CPU"
    found: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.device_type.name == wanted:
            found[event.name].append((event.time_range.end - event.time_range.start) / 1e6)
    totals = {name: (len(times) / repeats, sum(times) / repeats) for name, times in found.items()}
    return dict(sorted(totals.items(), key=lambda item: -item[1][1]))


def _by_kind(names: Totals) -> Totals:
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, (count, seconds) in names.items():
        found[kind_of(name)][0] += count
        found[kind_of(name)][1] += seconds
    totals = {kind: (count, seconds) for kind, (count, seconds) in found.items()}
    return dict(sorted(totals.items(), key=lambda item: -item[1][1]))


def _tell(case: str, seconds: float, names: Totals, report: Report) -> None:
    kinds = _by_kind(names)
    count, busy = (sum(total[place] for total in names.values()) for place in range(2))
    report.line(f"{case}: {count:.0f} kernels, {1e3 * busy:.2f} ms of them in a step of {1e3 * seconds:.2f} ms")
    report.line(
        "  " + ", ".join(f"{kind} {number:.0f} x = {1e3 * time:.2f} ms" for kind, (number, time) in kinds.items())
    )
    for name, (number, time) in list(names.items())[:SHOWN]:
        print(f"  {1e3 * time:8.3f} ms {number:7.1f} x {1e6 * time / number:8.1f} us  {kind_of(name):12} {name[:110]}")
    most = dict(list(names.items())[:KEPT])
    found = {"ms": milliseconds(seconds), "kernels": count, "kernels_ms": milliseconds(busy)}
    report.keep(case, {**found, "kinds": _rounded(kinds), "names": _rounded(most)})


def _rounded(totals: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {name[:160]: [round(count, 1), milliseconds(seconds)] for name, (count, seconds) in totals.items()}
