"""How long from `domcli run` to the end of the first training step: `python benchmarks/startup.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from domcli import locks
from domcli.devices import cpu_name
from domcli.launch import local, slots
from domcli.rundir import RunDirectory

CASES = {
    "digits": ("--quick",),
    "full": ("--set", "data.dataset=imagefolder", "--set", "data.root=images"),
}
"""Arguments of `domcli run PRESET`: a narrow network on digits, and the paper's network on a folder of pictures."""
TRAIN, TEST, CLASSES, SIZE = 512, 64, 4, 32
LONGEST_SECONDS = 900.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Taken:
    """Seconds of a stage; `cpu` those of the process that it is the work of."""

    wall: float
    cpu: float


Start = dict[str, Taken]
"""A start by stages, in order, with `total` at the end."""


def main() -> int:
    """Time the starts and print a table for each case."""
    parser = argparse.ArgumentParser(description="Time what happens until the first training step is done.")
    parser.add_argument("--starts", type=int, default=5, help="starts with warm caches, after the cold one")
    parser.add_argument("--only", choices=sorted(CASES), help="this case alone")
    parser.add_argument("--preset", default="natural-dom-re")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every start to this file, too")
    options = parser.parse_args()
    found: dict[str, list[Start]] = {}
    for case in [options.only] if options.only else CASES:
        with tempfile.TemporaryDirectory(prefix="domcli-startup-") as temporary:
            folder = Path(temporary)
            make_pictures(folder / "images")
            arguments = [options.preset, *CASES[case], "--device", options.device]
            found[case] = [one_start(folder, arguments, number) for number in range(options.starts + 1)]
        _print_table(case, found[case])
    if options.json:
        starts = {case: [_plain(start) for start in starts] for case, starts in found.items()}
        about = {"date": time.strftime("%Y-%m-%d"), "preset": options.preset, "device": options.device}
        about |= {"cpu": cpu_name(), "python": sys.version.split()[0], "torch": version("torch")}
        options.json.write_text(json.dumps({**about, "cores": os.cpu_count(), "starts": starts}, indent=1) + "\n")
    return 0


def make_pictures(root: Path) -> None:
    """Write a folder of pictures of CIFAR's size."""
    draws = np.random.default_rng(0)
    for split, number in (("train", TRAIN), ("test", TEST)):
        for place in range(number):
            path = root / split / f"class-{place % CLASSES}" / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draws.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    os.sync()  # else the first start waits for the disk to write them


def one_start(folder: Path, arguments: list[str], number: int) -> Start:
    """Start a run in a folder of its own, whose caches are those of earlier starts there, and end it after a step."""
    runs_dir = folder / "runs"
    command = [sys.executable, "-m", "domcli", "run", *arguments, "--runs-dir", str(runs_dir), "--detach"]
    began = time.time()
    child = subprocess.Popen(
        [*command, "--name", f"start-{number}"],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(child.stderr.read().decode() if child.stderr else "domcli run failed")
    run = RunDirectory(runs_dir / f"start-{number}")
    supervisor = slots.host_folder(runs_dir).supervisor
    try:
        noted = _await_first_step(run)
        queue_cpu = sum(psutil.Process(int(supervisor.read_text())).cpu_times()[:2])
    finally:
        local.kill(run)
    while locks.is_held(supervisor):
        time.sleep(POLL_SECONDS)
    return _by_stages(run, began, used.ru_utime + used.ru_stime, queue_cpu, noted)


def _await_first_step(run: RunDirectory) -> dict[str, dict[str, float]]:
    """Return what the trainer notes of its start (domcli/trainer/startup.py)."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        noted: dict[str, dict[str, float]] | None = run.read_environment().get("startup")
        if noted is not None:
            return noted
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"no step in {LONGEST_SECONDS:.0f} s; the log ends with:\n{run.log.read_text()[-2000:]}")


def _by_stages(
    run: RunDirectory, began: float, command_cpu: float, queue_cpu: float, noted: dict[str, dict[str, float]]
) -> Start:
    created, process = run.read_environment()["created"], run.read_process()
    assert process is not None
    start = {"command": Taken(created - began, command_cpu), "queue": Taken(process.launched - created, queue_cpu)}
    for stage, seconds in noted["seconds"].items():
        if stage != "total":
            start[stage] = Taken(seconds, noted["cpu_seconds"][stage])
    start["total"] = Taken(sum(one.wall for one in start.values()), sum(one.cpu for one in start.values()))
    return start


def _plain(start: Start) -> dict[str, dict[str, float]]:
    return {stage: asdict(taken) for stage, taken in start.items()}


def _print_table(case: str, starts: list[Start]) -> None:
    cold, *warm = starts
    print(f"{case:14}{'caches cold':>16}{f'warm, median of {len(warm)}':>24}")
    print(f"{'':14}{'wall':>8}{'CPU':>8}{'wall':>16}{'CPU':>8}")
    for stage, taken in cold.items():
        print(f"{stage.replace('_', ' '):14}{taken.wall:8.2f}{taken.cpu:8.2f}", end="")
        wall, cpu = (statistics.median(getattr(one[stage], of) for one in warm) for of in ("wall", "cpu"))
        print(f"{wall:16.2f}{cpu:8.2f}")
    print()


if __name__ == "__main__":
    sys.exit(main())
