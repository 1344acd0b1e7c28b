"""Is the dashboard quick and calm? The real command on a pseudo-terminal, among many runs, some of them at work.

python benchmarks/dashboard.py [--runs 100] [--epochs 300] [--live 4] [--seconds 30] [--repeats 5] [--output FILE]

Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from dashboard_loop import BREAK, longest
from dashboard_runs import write_runs
from dashboard_terminal import Terminal

HERE = Path(__file__).resolve().parent
SIZE = (160, 45)
ROW = re.compile(r"[▶▷] (natural|pgd|fgsm)-[a-z]")
"""The line of a run that is at work: the list is there."""
ENDED = re.compile(r"✓ (\d+)")
KEY_SECONDS = 0.1
TARGETS = {
    "first useful frame": (1.0, "s"),
    "longest stall, nobody there": (50.0, "ms"),
    "longest stall, going through the list": (50.0, "ms"),
    "longest stall, three runs overlaid": (50.0, "ms"),
    "CPU, nobody there": (10.0, "% of a core"),
    "memory (USS)": (200.0, "MiB"),
    "memory (RSS)": (200.0, "MiB"),
}


def main() -> None:
    """Make the runs, measure, print a table."""
    parser = argparse.ArgumentParser(description="Is the dashboard quick and calm?")
    parser.add_argument("--runs", type=int, default=100, help="how many runs (default: 100)")
    parser.add_argument("--epochs", type=int, default=300, help="epochs of each (default: 300)")
    parser.add_argument("--progress", type=int, default=10, help="progress events of an epoch (default: 10)")
    parser.add_argument("--live", type=int, default=4, help="how many of the runs are at work (default: 4)")
    parser.add_argument("--rate", type=float, default=5, help="events a second of each of them (default: 5)")
    parser.add_argument("--seconds", type=float, default=30, help="how long is measured when idle (default: 30)")
    parser.add_argument("--repeats", type=int, default=5, help="how often it is started, and the best taken")
    parser.add_argument("--output", type=Path, help="write the results there as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="domcli-dashboard-") as temporary:
        folder = Path(temporary) / "runs"
        live = write_runs(folder, options.runs, options.epochs, options.progress, options.live)
        script = str(HERE / "dashboard_runs.py")
        trainers = [subprocess.Popen([sys.executable, script, str(run.path), str(options.rate)]) for run in live]
        try:
            time.sleep(2)
            results = measure(folder, options.seconds, options.repeats)
        finally:
            for trainer in trainers:
                trainer.terminate()
                trainer.wait()
    missed = show(results)
    if options.output is not None:
        about = {"python": platform.python_version(), "load": os.getloadavg(), "cpus": os.cpu_count(), "size": SIZE}
        text = json.dumps({**vars(options), **about, "results": results, "missed": missed}, indent=2, default=str)
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(1 if missed else 0)


def measure(folder: Path, seconds: float, repeats: int) -> dict[str, float]:
    """Return all figures by name, in the units of TARGETS; the best of the repeats where a process is started."""
    results: dict[str, float] = {}
    starts = [first_frame(folder) for _ in range(repeats)]
    results["first useful frame"] = min(frame for frame, _ in starts)
    results["all runs read, s"] = min(complete for _, complete in starts)
    results |= idle(folder, seconds)
    results["key to screen, median, ms"], results["key to screen, longest, ms"] = echo(folder, seconds)
    stalls = [stalls_by_phase(folder, seconds) for _ in range(2)]
    return results | {name: min(found[name] for found in stalls) for name in stalls[0]}


def command(folder: Path) -> list[str]:
    """Return the command that is measured."""
    return [sys.executable, "-m", "domcli", "dashboard", "--runs-dir", str(folder)]


def first_frame(folder: Path) -> tuple[float, float]:
    """Return after how many seconds the list was there, and after how many all runs had been read."""
    with Terminal(command(folder), SIZE) as terminal:
        frame = terminal.wait_for(ROW.search)
        names = sum(1 for _ in folder.glob("*/settings.toml"))
        complete = terminal.wait_for(lambda text: _counted(text) >= names)
    return frame, complete


def _counted(text: str) -> int:
    """Return how many runs the last line of counts in the text adds up to."""
    last = text.rpartition(" domcli ")[2][: SIZE[0]]
    return sum(int(number) for number in re.findall(r"[▶▷○✗?■✓] (\d+)", last))


def idle(folder: Path, seconds: float) -> dict[str, float]:
    """Return what the dashboard uses while nobody touches it."""
    with Terminal(command(folder), SIZE) as terminal:
        terminal.wait_for(ROW.search)
        time.sleep(5)
        process = psutil.Process(terminal.pid)
        before, written = process.cpu_times(), terminal.written
        time.sleep(seconds)
        after, memory = process.cpu_times(), process.memory_full_info()
        used = after.user + after.system - before.user - before.system
        return {
            "CPU, nobody there": 100 * used / seconds,
            "written to the terminal, KiB/s": (terminal.written - written) / seconds / 1024,
            "memory (RSS)": memory.rss / 2**20,
            "memory (USS)": memory.uss / 2**20,
        }


def echo(folder: Path, seconds: float) -> tuple[float, float]:
    """Return median and longest time in ms from a key that moves the cursor until the new line is drawn."""
    times = []
    with Terminal(command(folder), SIZE) as terminal:
        terminal.wait_for(ROW.search)
        time.sleep(5)
        terminal.press(b"\x1b[F")  # to the last run, which has ended: nothing else draws its line
        time.sleep(2)
        for number in range(int(seconds / KEY_SECONDS)):
            pressed, written = time.perf_counter(), terminal.written
            terminal.press(b"kj"[number % 2 : number % 2 + 1])
            terminal.wait_for(lambda text: re.search(r"[✓✗■] (natural|pgd|fgsm)-", text), since=written)
            times.append(1000 * (time.perf_counter() - pressed))
            time.sleep(max(0.0, KEY_SECONDS - (time.perf_counter() - pressed)))
    times.sort()
    return times[len(times) // 2], times[-1]


def stalls_by_phase(folder: Path, seconds: float) -> dict[str, float]:
    """Return how long, in ms, the event loop was away at the most: in wall time, and in the CPU time it used."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        watched = [sys.executable, str(HERE / "dashboard_loop.py"), str(folder), file.name]
        with Terminal(watched, SIZE) as terminal:
            terminal.wait_for(ROW.search)
            time.sleep(5)
            phases = {"nobody there": _phase(lambda: time.sleep(seconds))}
            phases["going through the list"] = _phase(lambda: _type(terminal, b"j" * 60))
            _type(terminal, b"\x1b[H")
            phases["three runs overlaid"] = _phase(lambda: _type(terminal, b"   x x x www yy" + b"<>" * 20))
            terminal.press(b"q")
            terminal.wait_for_end()
        beats = json.loads(Path(file.name).read_text(encoding="utf-8"))
    results = {}
    for name, (start, end) in phases.items():
        wall, cpu = longest(beats, start, end)
        results[f"longest stall, {name}"] = 1000 * wall
        results[f"  of it CPU, {name}, ms"] = 1000 * cpu
    return results


def _phase(work: Callable[[], object]) -> tuple[float, float]:
    start = time.monotonic()
    work()
    return start, time.monotonic()


def _type(terminal: Terminal, keys: bytes) -> None:
    for key in [keys] if keys.startswith(b"\x1b") else [keys[n : n + 1] for n in range(len(keys))]:
        terminal.press(key)
        time.sleep(KEY_SECONDS)


def show(results: dict[str, float]) -> list[str]:
    """Print the figures beside their targets; return which were missed."""
    missed = [name for name, (target, _) in TARGETS.items() if results[name] >= target]
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; beat {BREAK} s\n")
    for name, value in results.items():
        target, unit = TARGETS.get(name, (None, ""))
        goal = "" if target is None else f"  < {target:g} {unit}"
        print(f"{name:<42} {value:>9.2f}{goal:<18}{'  MISSED' if name in missed else ''}")
    return missed


if __name__ == "__main__":
    main()
