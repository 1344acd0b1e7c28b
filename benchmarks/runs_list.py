"""Time `domcli runs` on a folder with many finished runs, as whole processes.

python benchmarks/runs_list.py [--runs 500] [--epochs 200] [--progress 10] [--repeats 5] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from domcli import finding, rundir
from domcli.brief import BriefWriter
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
from domcli.presets import METHODS, PARADIGMS
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.settings import Settings

PRESETS = tuple(f"{paradigm}-{method}" for paradigm in PARADIGMS for method in METHODS)
STEPS = 391
"""Steps of an epoch of CIFAR-10."""
COMMANDS = (("--version",), ("runs",), ("runs", "--json"), ("runs", "--state", "failed"), ("runs", "pgd-dom-re-0"))
"""The first is what starting Python and domcli takes."""


def main() -> None:
    """Make the runs and print the times."""
    parser = argparse.ArgumentParser(description="Time domcli runs on a folder with many finished runs.")
    parser.add_argument("--runs", type=int, default=500, help="how many runs (default: 500)")
    parser.add_argument("--epochs", type=int, default=200, help="epochs of each (default: 200)")
    parser.add_argument("--progress", type=int, default=10, help="progress lines of each epoch (default: 10)")
    parser.add_argument("--repeats", type=int, default=5, help="how often each command is timed (default: 5)")
    parser.add_argument("--folder", type=Path, help="keep the runs there, or use those that are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="domcli-list-") as temporary:
        folder = (options.folder or Path(temporary) / "runs").resolve()
        if not finding.list_runs(folder):
            _write_runs(folder, options.runs, options.epochs, options.progress)
        runs = finding.list_runs(folder)
        size = sum(run.events.stat().st_size for run in runs)
        print(f"{len(runs)} runs, {size / 1e6:.0f} MB of events; median (fastest) of {options.repeats}, seconds\n")
        _print_times("with brief.json", folder, options.repeats)
        for run in runs:
            run.brief.rename(run.brief.with_suffix(".aside"))
        try:
            _print_times("without (runs of an older version)", folder, options.repeats)
        finally:
            for run in runs:
                run.brief.with_suffix(".aside").rename(run.brief)


def _print_times(title: str, folder: Path, repeats: int) -> None:
    print(title)
    for arguments in COMMANDS:
        seconds = [_time(arguments, folder) for _ in range(repeats + 1)][1:]
        line = " ".join(("domcli", *arguments))
        print(f"  {line:<32} {statistics.median(seconds):6.3f} ({min(seconds):.3f})")


def _time(arguments: tuple[str, ...], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "domcli", *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "DOMCLI_RUNS_DIR": str(folder)},
        check=True,
    )
    return time.perf_counter() - began


def _write_runs(folder: Path, count: int, epochs: int, progress: int) -> None:
    print(f"writing {count} runs to {folder} ...", file=sys.stderr, flush=True)
    for number in range(count):
        preset = PRESETS[number % len(PRESETS)]
        settings = Settings.model_validate({"train": {"epochs": epochs, "seed": number // len(PRESETS)}})
        name = f"{preset}-{number // len(PRESETS)}"
        run = rundir.create(folder, name, settings.to_dict(), {"preset": preset, "created": time.time()})
        run.reserve.unlink()
        run.write_process(
            ProcessIdentity(pid=2**22 + 1, start_time=1.0, host=os.uname().nodename, cwd="/", launched=1.0)
        )
        _train(run, epochs, progress)


def _train(run: RunDirectory, epochs: int, progress: int) -> None:
    """Write the stream of a finished run, and brief.json as a trainer leaves it."""
    events: list[AnyEvent] = [_started(epochs)]
    for epoch in range(1, epochs + 1):
        events += [_progress(epoch, STEPS * step // progress) for step in range(1, progress + 1)]
        events.append(_epoch_end(epoch, epochs))
        if epoch % 10 == 0:
            path = f"checkpoints/epoch-{epoch:04}.safetensors"
            events.append(CheckpointSaved(label="epoch", path=path, epoch=epoch))
    stamped = (msgspec.structs.replace(event, time=1e9 + seq, seq=seq) for seq, event in enumerate(events))
    run.events.write_bytes(b"".join(map(encode, stamped)))
    writer = BriefWriter(run)
    writer.write(Finished(seconds=epochs * 150.0))
    writer.close()


def _started(epochs: int) -> Started:
    return Started(
        settings_digest="0123456789abcdef",
        device="cuda:0",
        device_name="a GPU",
        precision="bfloat16",
        train_size=50_000,
        test_size=10_000,
        classes=10,
        image_shape=(3, 32, 32),
        parameters=11_173_962,
        epochs=epochs,
        steps_per_epoch=STEPS,
    )


def _progress(epoch: int, step: int) -> Progress:
    return Progress(
        phase="train",
        epoch=epoch,
        step=step,
        steps=STEPS,
        images_per_second=3120.5,
        lr=0.1,
        natural_loss=1.2345678901234567,
        robust_loss=1.9876543210987654,
        seen=128 * step,
        high_confidence=60 * step,
        removed=60 * step,
    )


def _epoch_end(epoch: int, epochs: int) -> EpochEnd:
    warm = epoch > epochs // 2
    return EpochEnd(
        epoch=epoch,
        lr=0.1,
        train=TrainMetrics(
            natural_loss=1.2345678901234567,
            natural_accuracy=0.6 + epoch / 1000,
            robust_loss=1.9876543210987654,
            robust_accuracy=0.3 + epoch / 1000,
        ),
        test=TestMetrics(
            natural_loss=0.8765432109876543,
            natural_accuracy=0.7 + epoch / 2000,
            pgd_loss=1.4567890123456789,
            pgd_accuracy=0.5 - abs(epoch - epochs // 2) / 1000,
        ),
        train_attack=None,
        memorization=Memorization(
            threshold=1.5,
            high_confidence=30_000 + epoch,
            original=25_000 if warm else None,
            transformed=5_000 + epoch if warm else None,
            entered=1000,
            left=900,
            removed=20_000 if warm else 0,
            augmented=0,
            histogram=(10_000, 10_000, 10_000, 10_000, 5_000, 5_000),
            overlap=0.5,
        ),
        best=epoch <= epochs // 2,
        train_seconds=120.0,
        test_seconds=30.0,
        images_per_second=3120.5,
        memory=3_000_000_000,
    )


if __name__ == "__main__":
    main()
