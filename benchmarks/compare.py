"""Time `domcli compare-runs` on generated runs, as whole processes, and where the time goes.

python benchmarks/compare.py [--runs 60] [--epochs 300] [--progress 10] [--seeds 3] [--repeats 5] [--folder DIR]

Wall time and, since others may be at work on the machine, CPU time. Ends with 1 if a command loads torch or takes more
than 2 s of CPU time at its fastest.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from domcli import evaluations, finding, rundir
from domcli.compare import FORMATS, compare, export, select
from domcli.events import (
    AnyEvent,
    CheckpointSaved,
    EpochEnd,
    Finished,
    Memorization,
    Progress,
    Started,
    TestMetrics,
    TrainMetrics,
    encode,
)
from domcli.presets import available, resolve
from domcli.rundir import RunDirectory
from domcli.settings import Settings

STEPS = 391
"""Steps of an epoch of CIFAR-10."""

PATTERNS = 50_000
MOST_SECONDS = 2.0
COMMANDS = (
    ("--version",),
    ("compare-runs", "*"),
    ("compare-runs", "*", "--paper"),
    *(("compare-runs", "*", "--format", form) for form in FORMATS),
)
"""The first is what starting Python and domcli takes."""

PROBE = "import sys; from domcli.cli.main import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"


def main() -> int:
    """Make the runs, print the times and return the exit code."""
    parser = argparse.ArgumentParser(description="Time domcli compare-runs on generated runs.")
    parser.add_argument("--runs", type=int, default=60, help="how many runs (default: 60)")
    parser.add_argument("--epochs", type=int, default=300, help="epochs of each (default: 300)")
    parser.add_argument("--progress", type=int, default=10, help="progress lines of each epoch (default: 10)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each group (default: 3)")
    parser.add_argument("--repeats", type=int, default=5, help="how often each command is timed (default: 5)")
    parser.add_argument("--folder", type=Path, help="keep the runs there, or use those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="domcli-compare-") as temporary:
        folder = (options.folder or Path(temporary) / "runs").resolve()
        if not finding.list_runs(folder):
            write_runs(folder, options.runs, options.epochs, options.progress, options.seeds)
        runs = finding.list_runs(folder)
        size = sum(run.events.stat().st_size for run in runs)
        print(f"{len(runs)} runs, {size / 1e6:.0f} MB of events; median (fastest) of {options.repeats}, seconds\n")
        print(f"  {'':<40} {'wall':>6} {'':7} {'CPU':>6}")
        good = [_print_times(arguments, folder, options.repeats) for arguments in COMMANDS]
        _print_parts(folder)
    return 0 if all(good) else 1


def write_runs(folder: Path, count: int, epochs: int, progress: int, seeds: int) -> None:
    """Write finished runs of the presets in turn, with plausible curves; further ones have another threshold."""
    print(f"writing {count} runs to {folder} ...", file=sys.stderr, flush=True)
    presets = [info.name for info in available()]
    for number in range(count):
        group, seed = divmod(number, seeds)
        turn, place = divmod(group, len(presets))
        changes = [f"train.epochs={epochs}", f"train.seed={seed}", *([f"dom.threshold={turn + 1}.25"] if turn else [])]
        settings = resolve(presets[place], changes)
        about = {"preset": presets[place], "created": 1e9 + number, "domcli": "0.1.0", "git_commit": "0" * 40}
        run = rundir.create(folder, f"{presets[place]}-{turn}-seed{seed}", settings.to_dict(), about)
        run.reserve.unlink()
        _train(run, settings, progress, random.Random(number))
        for attack in ("pgd", "autoattack"):
            for label in ("best", "last"):
                _evaluate(run, settings, attack, label)


def _evaluate(run: RunDirectory, settings: Settings, attack: evaluations.Attack, label: str) -> None:
    pgd: dict[str, Any] = {"alpha": 2.0, "steps": 50, "restarts": 10} if attack == "pgd" else {}
    plan = evaluations.Plan(
        checkpoint=f"checkpoints/{label}.safetensors",
        digest="0" * 64,
        epoch=settings.train.epochs,
        step=0,
        attack=attack,
        norm="linf",
        epsilon=8.0,
        seed=settings.train.seed,
        **pgd,
    )
    found = evaluations.Evaluation(
        plan=plan,
        accuracy=0.45,
        natural_accuracy=0.8,
        stages={"clean": 0.8, attack: 0.45},
        images=10_000,
        test_images=10_000,
        seconds=600.0,
        date=1e9,
        device="cuda:0",
        device_name="a device",
        versions={},
    )
    evaluations.write_result(evaluations.prepare(run, plan), found)


def _train(run: RunDirectory, settings: Settings, progress: int, chance: random.Random) -> None:
    events: list[AnyEvent] = [_started(settings)]
    best = 0.0
    for epoch in range(1, settings.train.epochs + 1):
        events += _progress(epoch, progress)
        end = _epoch_end(epoch, settings, chance)
        assert end.test is not None
        accuracy = end.test.natural_accuracy if end.test.pgd_accuracy is None else end.test.pgd_accuracy
        events.append(msgspec.structs.replace(end, best=accuracy > best))
        best = max(best, accuracy)
        events.append(CheckpointSaved(label="last", path="checkpoints/last.safetensors", epoch=epoch))
    events.append(Finished(seconds=settings.train.epochs * 150.0))
    stamped = (msgspec.structs.replace(event, time=1e9 + seq, seq=seq) for seq, event in enumerate(events))
    run.events.write_bytes(b"".join(map(encode, stamped)))


def _started(settings: Settings) -> Started:
    return Started(
        settings_digest=settings.digest(),
        device="cuda:0",
        device_name="a device",
        precision="bfloat16",
        train_size=PATTERNS,
        test_size=10_000,
        classes=10,
        image_shape=(3, 32, 32),
        parameters=11_172_170,
        epochs=settings.train.epochs,
        steps_per_epoch=STEPS,
    )


def _progress(epoch: int, lines: int) -> Iterator[Progress]:
    for line in range(1, lines + 1):
        yield Progress(
            phase="train",
            epoch=epoch,
            step=STEPS * line // lines,
            steps=STEPS,
            images_per_second=3120.5,
            lr=0.1,
            natural_loss=1.25,
            robust_loss=1.75,
            seen=PATTERNS * line // lines,
            high_confidence=12_345,
            removed=2_345,
        )


def _epoch_end(epoch: int, settings: Settings, chance: random.Random) -> EpochEnd:
    """Return an epoch of a run that learns, and overfits in its second half."""
    done = epoch / settings.train.epochs
    natural = min(1.0, 0.85 - 0.6 * math.exp(-8 * done) + chance.gauss(0, 0.003))
    robust = 0.54 - 0.35 * math.exp(-6 * done) - 0.07 * max(0.0, done - 0.5) + chance.gauss(0, 0.003)
    attacked, one_step = settings.evaluation.attack != "none", settings.attack.name == "fgsm"
    warm = done > settings.dom.warmup
    return EpochEnd(
        epoch=epoch,
        lr=0.1,
        train=TrainMetrics(natural_loss=1.2 - done, natural_accuracy=natural, robust_loss=1.5, robust_accuracy=robust),
        test=TestMetrics(
            natural_loss=1.1 - 0.5 * done,
            natural_accuracy=natural,
            pgd_loss=1.4 if attacked else None,
            pgd_accuracy=robust if attacked else None,
            one_step_loss=1.3 if one_step else None,
            one_step_accuracy=robust + 0.05 if one_step else None,
        ),
        train_attack=None,
        memorization=Memorization(
            threshold=settings.dom.threshold,
            high_confidence=int(30_000 * done),
            original=9_000 if warm else None,
            transformed=int(20_000 * (done - 0.5)) if warm else None,
            entered=120,
            left=80,
            removed=0,
            augmented=0,
            histogram=(20_000, 10_000, 8_000, 6_000, 4_000, 2_000),
            overlap=0.9,
        ),
        best=False,
        train_seconds=140.0,
        test_seconds=10.0,
        images_per_second=3120.5,
        memory=1 << 33,
    )


def _print_times(arguments: tuple[str, ...], folder: Path, repeats: int) -> bool:
    """Print how long a command takes, and say whether it is fast enough and does without torch."""
    times, busy, light = [], [], True
    for _ in range(repeats + 1):  # the first warms up
        began, before = time.perf_counter(), _children_seconds()
        done = subprocess.run(
            [sys.executable, "-c", PROBE, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "DOMCLI_RUNS_DIR": str(folder)},
        )
        times.append(time.perf_counter() - began)
        busy.append(_children_seconds() - before)
        light = light and "AssertionError" not in done.stderr
        if done.returncode not in (0, 1):
            raise SystemExit(f"error: {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    fast = min(busy[1:]) <= MOST_SECONDS
    problems = ("" if light else "  loads torch") + ("" if fast else "  too slow")
    line = " ".join(("domcli", *arguments))
    found = "".join(f" {statistics.median(one[1:]):6.3f} ({min(one[1:]):.3f})" for one in (times, busy))
    print(f"  {line:<40}{found}{problems}")
    return light and fast


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print_parts(folder: Path) -> None:
    """Print where the time goes, within one process."""
    print("\n  in one process")
    began = time.perf_counter()
    comparison = compare(select(folder, ["*"]))
    print(f"  {'reading and statistics':<40} {time.perf_counter() - began:6.3f}")
    for form in FORMATS:
        began = time.perf_counter()
        export(comparison, form)
        print(f"  {form:<40} {time.perf_counter() - began:6.3f}")


if __name__ == "__main__":
    sys.exit(main())
