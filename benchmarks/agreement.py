"""Do fast and plain steps train equally well? `python benchmarks/agreement.py [--folder IMAGES]`.

Trains short real runs twice with each seed, as the trainer does by itself and with DOMCLI_PLAIN=1 (one operation at a
time, PyTorch's kernels), in bfloat16, and compares the test accuracies at the end. Single steps agree to rounding (see
the tests), which attacks and training then amplify, so it is means that are compared: the exit code is 1 if one differs
by more than three standard errors of the difference, and by more than a percentage point.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from domcli import finding, rundir
from domcli.runs import read_run

PRESETS = {"natural-dom-re": 10, "fgsm-dom-re": 10, "pgd-dom-re": 6}
"""And how many epochs are trained."""
SETTINGS = (
    *("model.width=32", "train.batch_size=64", "train.max_lr=0.05", "train.precision=bfloat16"),
    *("dom.threshold=1.0", "evaluation.every=1000", "evaluation.steps=10"),
)
MEASURED = ("natural_accuracy", "pgd_accuracy")
STANDARD_ERRORS, LEAST = 3.0, 0.01


def main() -> None:
    """Train, compare, and print a line for each preset and accuracy."""
    parser = argparse.ArgumentParser(description="Compare accuracies of runs with fast and with plain steps.")
    parser.add_argument("--folder", type=Path, help="image folder to train on; default: the digits")
    parser.add_argument("--images", type=int, default=2000, help="training images (default 2000)")
    parser.add_argument("--seeds", default="0-2")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--runs-dir", type=Path, help="where to keep the runs; default: nowhere")
    options = parser.parse_args()
    folder = ["data.dataset=imagefolder", f"data.root={options.folder.absolute()}"] if options.folder else []
    images = [f"data.train_images={options.images}"] if options.folder else []
    settings = [*SETTINGS, *(folder or ["data.dataset=digits"]), *images, *options.set]
    with tempfile.TemporaryDirectory() as temporary:
        runs_dir = options.runs_dir or Path(temporary)
        sound = [_compared(preset, settings, options, runs_dir) for preset in PRESETS]
    sys.exit(0 if all(sound) else 1)


def agree(one: list[float], other: list[float]) -> bool:
    """Tell whether two lists of accuracies have the same mean, as far as their spread allows to say."""
    error = math.sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))
    return abs(statistics.mean(one) - statistics.mean(other)) <= max(LEAST, STANDARD_ERRORS * error)


def _compared(preset: str, settings: list[str], options: argparse.Namespace, runs_dir: Path) -> bool:
    ways = {way: _trained(preset, settings, options, runs_dir / way) for way in ("fast", "plain")}
    sound = True
    for name in MEASURED:
        fast, plain = ([one[name] for one in ways[way] if name in one] for way in ("fast", "plain"))
        if fast:
            same = agree(fast, plain)
            sound = sound and same
            print(f"{preset:15} {name:17} fast {_shown(fast)}   plain {_shown(plain)}   {'' if same else 'DIFFERENT'}")
    return sound


def _trained(preset: str, settings: list[str], options: argparse.Namespace, runs_dir: Path) -> list[dict[str, float]]:
    """Run a preset with every seed, and return the last accuracies of each run."""
    overrides = [part for one in (*settings, f"train.epochs={PRESETS[preset]}") for part in ("--set", one)]
    command = [sys.executable, "-m", "domcli", "run", preset, "--seeds", options.seeds, "--device", options.device]
    environment = {key: value for key, value in os.environ.items() if key != "DOMCLI_PLAIN"}
    environment |= {"DOMCLI_PLAIN": "1"} if runs_dir.name == "plain" else {}
    subprocess.run(
        [*command, "--runs-dir", str(runs_dir), *overrides], env=environment, check=True, capture_output=True
    )
    return [dict(_accuracies(run)) for run in finding.list_runs(runs_dir) if run.name.startswith(preset)]


def _accuracies(run: rundir.RunDirectory) -> Iterator[tuple[str, float]]:
    test = read_run(run).state.epochs[-1].test
    for name in MEASURED:
        value = getattr(test, name, None)
        if value is not None:
            yield name, value


def _shown(accuracies: list[float]) -> str:
    return f"{100 * statistics.mean(accuracies):5.1f} % ({', '.join(f'{100 * one:.1f}' for one in accuracies)})"


if __name__ == "__main__":
    main()
