"""Run every preset with `--quick` through the command line and check its event stream; exit code 1 if it is amiss.

python benchmarks/all_presets.py [PRESET...] [--device auto|cpu|cuda] [--runs-dir DIR]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domcli.errors import DomcliError
from domcli.events import EpochEnd, Finished
from domcli.presets import METHODS, PARADIGMS, from_run
from domcli.rundir import RunDirectory
from domcli.runstate import RunState, fold
from domcli.settings import Settings
from domcli.stream import EventReader

NAMES = tuple(f"{paradigm}-{method}" for paradigm in PARADIGMS for method in METHODS)
DONE_BY = {"dom-re": "removed", "dom-augmix": "augmented", "dom-randaugment": "augmented"}
"""What each DOM kind does with high-confidence patterns after the warm-up; the baselines do nothing."""


@dataclass(frozen=True)
class Checked:
    """A preset's run: `problems` is empty if everything holds."""

    name: str
    seconds: float
    state: RunState
    problems: list[str]


def main() -> int:
    """Run the presets and return the exit code."""
    parser = argparse.ArgumentParser(description="Run every preset with --quick and check what its run says.")
    parser.add_argument("presets", nargs="*", metavar="PRESET", help="only these (default: all eighteen)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--runs-dir", type=Path, help="keep the runs there (default: a folder that is removed)")
    options = parser.parse_args()
    unknown = [name for name in options.presets if name not in NAMES]
    if unknown:
        parser.error(f"unknown preset {unknown[0]!r}; the presets are {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory(prefix="domcli-presets-") as temporary:
        runs_dir = (options.runs_dir or Path(temporary)).resolve()
        checked = [_run(name, runs_dir, options.device) for name in options.presets or NAMES]
    _print_table(checked)
    failed = [one for one in checked if one.problems]
    for one in failed:
        for problem in one.problems:
            print(f"{one.name}: {problem}")
    print(f"{len(checked) - len(failed)} of {len(checked)} presets hold")
    return 1 if failed else 0


def _run(name: str, runs_dir: Path, device: str) -> Checked:
    """Run one preset to its end and check it."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "domcli", "run", name, "--quick", "--runs-dir", str(runs_dir)]
    began = time.monotonic()
    ended = subprocess.run([*command, "--device", device, "--json"], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    problems = [] if ended.returncode == 0 else [f"exit code {ended.returncode}: {_last_line(ended.stderr)}"]
    state = RunState()
    if ended.returncode == 0 or ended.stdout:  # a command that is refused writes nothing there
        try:
            summary = _only_run(ended.stdout)
            run = RunDirectory(Path(summary["path"]))
            state = fold(EventReader(run.events).read())
            problems += problems_of(name, run, from_run(run), state)
            if summary["state"] != "finished":
                problems.append(f"--json says that it is {summary['state']}, not finished")
        except (DomcliError, ValueError, LookupError, TypeError) as error:
            problems.append(f"its run cannot be read: {error}")
    return Checked(name, seconds, state, problems)


def _only_run(output: str) -> dict[str, Any]:
    """Return what `--json` says of the one run. Raises ValueError for anything else."""
    runs = json.loads(output)
    if not isinstance(runs, list) or len(runs) != 1 or not isinstance(runs[0], dict):
        raise ValueError("--json did not write a list of one run")
    return runs[0]


def problems_of(name: str, run: RunDirectory, settings: Settings, state: RunState) -> list[str]:
    """Return what a finished run of a preset with `--quick` should not say, in sentences."""
    return [
        *_ending(settings, state),
        *_patterns(name, settings, state),
        *_accuracies(name, state),
        *_checkpoints(run, settings, state),
    ]


def _ending(settings: Settings, state: RunState) -> Iterator[str]:
    if not isinstance(state.closing, Finished):
        yield f"the stream ends with {state.closing}, not with finished"
    numbers = [end.epoch for end in state.epochs]
    if numbers != list(range(1, settings.train.epochs + 1)):
        yield f"the stream has the epochs {numbers}, not 1 to {settings.train.epochs}"


def _patterns(name: str, settings: Settings, state: RunState) -> Iterator[str]:
    """Look for patterns removed or augmented where that cannot be, and for none where some must be."""
    done_by = DONE_BY.get(name.partition("-")[2])
    steps = state.started.steps_per_epoch if state.started else 0
    for end in state.epochs:
        active = 0 if done_by is None else _active_steps(end.epoch, steps, settings)
        found = end.memorization
        counts = {"removed": found.removed, "augmented": found.augmented} if found else {}
        for kind, count in counts.items():
            most = active * settings.train.batch_size if kind == done_by else 0
            if count > most:
                yield f"epoch {end.epoch}: {count} patterns {kind}, where {most} at the most can be"
        if done_by is not None and active == steps and counts[done_by] == 0:
            yield f"epoch {end.epoch}: no patterns {done_by}, though the warm-up was over"
    if settings.dom.warmup * settings.train.epochs > settings.train.epochs - 1:
        yield f"there is no whole epoch after the warm-up of {settings.train.epochs} epochs"


def _active_steps(epoch: int, steps: int, settings: Settings) -> int:
    """Return in how many of its steps an epoch (from 1) runs DOM: those whose t is at least the warm-up's end."""
    end = settings.train.epochs * settings.dom.warmup
    first = math.ceil((end - (epoch - 1)) * steps)  # counts from 1: t of step i is epoch - 1 + i / steps
    return min(steps, max(0, steps + 1 - max(1, first)))


def _accuracies(name: str, state: RunState) -> Iterator[str]:
    paradigm = name.partition("-")[0]
    expected = {
        "natural_accuracy": True,
        "pgd_accuracy": paradigm in ("pgd", "fgsm"),
        "one_step_accuracy": paradigm == "fgsm",
    }
    for end in state.epochs:
        for key, wanted in expected.items():
            if wanted != (getattr(end.test, key, None) is not None):
                yield f"epoch {end.epoch}: test {key} {'was not' if wanted else 'should not be'} evaluated"
        if (end.train.robust_accuracy is not None) != (paradigm != "natural"):
            yield f"epoch {end.epoch}: robust training accuracy is {end.train.robust_accuracy}"


def _checkpoints(run: RunDirectory, settings: Settings, state: RunState) -> Iterator[str]:
    every = settings.checkpoint.every
    by_epoch = [f"epoch-{epoch:04d}" for epoch in range(1, settings.train.epochs + 1) if every and epoch % every == 0]
    told = {run.path / saved.path for saved in state.checkpoints}
    for label in ("best", "last", *by_epoch):
        path = run.checkpoint(label)
        if not path.is_file() or path.stat().st_size == 0:
            yield f"the checkpoint {label} is missing"
        if path not in told:
            yield f"the stream does not tell of the checkpoint {label}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "(nothing on stderr)"


def _print_table(checked: list[Checked]) -> None:
    print(f"{'':24}{'':9}{'test accuracy, last, %':^30}{'removed or augmented,':>24}")
    print(f"{'preset':24}{'seconds':>9}{'natural':>10}{'PGD':>10}{'one-step':>10}{'by epoch':>24}")
    for one in checked:
        last = one.state.last
        test = None if last is None else last.test
        accuracies = [_percent(getattr(test, f"{kind}_accuracy", None)) for kind in ("natural", "pgd", "one_step")]
        print(f"{one.name:24}{one.seconds:9.1f}", *(f"{text:>9}" for text in accuracies), end="")
        print(f"{' '.join(str(_changed(end)) for end in one.state.epochs):>24}{'  FAILED' if one.problems else ''}")


def _changed(end: EpochEnd) -> int:
    return end.memorization.removed + end.memorization.augmented if end.memorization else 0


def _percent(accuracy: float | None) -> str:
    return "-" if accuracy is None else f"{100 * accuracy:.1f}"


if __name__ == "__main__":
    sys.exit(main())
