"""What waiting threads cost on idle and on busy cores: `python benchmarks/busy_cores.py --help`.

Each way to wait is a process that trains; they take turns beside every load, and after each turn all must have the
same weights and losses to the bit. Loads are programs that this one starts: loops that burn a core each, or another
program that uses OpenMP as PyTorch does by default.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from domcli.devices import affinity, cpu_name

WAYS: dict[str, dict[str, str]] = {
    "OpenMP's default": {},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 100": {"GOMP_SPINCOUNT": "100"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
"""How threads wait for each other, as environment variables; one thread waits for nobody, and rounds differently."""
CASES: dict[str, tuple[str, ...]] = {
    "narrow": ("pgd-baseline", "model.width=16", "train.precision=float32", "train.batch_size=32", "attack.steps=3"),
    "kernels": ("natural-baseline", "model.width=32", "train.batch_size=64"),
}
"""Presets and settings: many small operations of PyTorch, and domcli's own kernels, which need AMX."""
BURNER = """
import os
parent = os.getppid()
while os.getppid() == parent: pass
"""
OTHER = """
import os
import torch
parent = os.getppid()
network = torch.nn.Sequential(*[torch.nn.Conv2d(16, 16, 3, padding=1) for _ in range(8)])
while os.getppid() == parent:
    network(torch.zeros(32, 16, 32, 32)).sum().backward()
"""
LOADS: dict[str, tuple[str, ...]] = {
    "idle": (),
    "1 burner": (BURNER,),
    "2 burners": (BURNER, BURNER),
    "OpenMP": (OTHER,),
}
VARIABLES = ("OMP_", "GOMP_", "KMP_")
STARTING_SECONDS = 4.0
"""Until a load of PyTorch is at work."""


class Trainer:
    """A process that trains in one of the ways."""

    def __init__(self, case: str, way: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", case],
            env={**_clean_environment(), **WAYS[way]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, steps: int) -> dict[str, Any]:
        """Have it train and return the seconds and CPU seconds of a step, and a digest of weights and losses."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("a trainer ended before it answered")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def main() -> int:
    """Measure, print a table for each case, and end with 1 if the bits differ."""
    parser = argparse.ArgumentParser(description="Time training steps by how threads wait, on idle and busy cores.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every way beside every load")
    parser.add_argument("--steps", type=int, default=2, help="steps of a turn")
    parser.add_argument("--only", choices=sorted(CASES), help="this case alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to this file, too")
    parser.add_argument("--worker", choices=sorted(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return _serve(options.worker)
    cases: dict[str, dict[str, Any]] = {}
    for case in [options.only] if options.only else CASES:
        for found in _measure(case, options):
            cases[case] = found
            _write(options, cases)
        _print_table(case, cases[case])
    same = all(found["same_bits"] for found in cases.values())
    print("weights and losses are the same to the bit" if same else "weights or losses DIFFER")
    return 0 if same else 1


def _write(options: argparse.Namespace, cases: dict[str, dict[str, Any]]) -> None:
    if options.json:
        about = {"date": time.strftime("%Y-%m-%d"), "cpu": cpu_name(), "cores": affinity()}
        about |= {"python": sys.version.split()[0], "torch": version("torch"), "steps": options.steps}
        options.json.write_text(json.dumps({**about, "ways": WAYS, "settings": CASES, "cases": cases}, indent=1) + "\n")


def _measure(case: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield after each round the seconds of a step by load and way, one for each round, and whether the bits agree."""
    seconds: dict[str, dict[str, list[float]]] = {load: {way: [] for way in WAYS} for load in LOADS}
    cpu: dict[str, dict[str, list[float]]] = {load: {way: [] for way in WAYS} for load in LOADS}
    same = True
    with contextlib.ExitStack() as stack:
        trainers = {way: Trainer(case, way) for way in WAYS}
        for trainer in trainers.values():
            stack.callback(trainer.close)
            trainer.train(options.steps)  # warms up
        for number in range(options.rounds):
            for load, programs in LOADS.items():
                digests = {}
                with _beside(programs):
                    for way in _turned(list(WAYS), number):
                        found = trainers[way].train(options.steps)
                        seconds[load][way].append(round(found["seconds"], 4))
                        cpu[load][way].append(round(found["cpu"], 4))
                        digests[way] = found["digest"]
                same = same and len({digest for way, digest in digests.items() if way != "one thread"}) == 1
            yield {"seconds": seconds, "cpu": cpu, "same_bits": same}


@contextlib.contextmanager
def _beside(programs: Sequence[str]) -> Iterator[None]:
    """Run these Python programs meanwhile."""
    started = [subprocess.Popen([sys.executable, "-c", text], env=_clean_environment()) for text in programs]
    try:
        if OTHER in programs:
            time.sleep(STARTING_SECONDS)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _turned(ways: list[str], number: int) -> list[str]:
    place = number % len(ways)
    return ways[place:] + ways[:place]


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}


def _serve(case: str) -> int:
    """Train as many steps as each line of stdin says."""
    import torch

    from domcli.presets import resolve
    from domcli.trainer import device as devices
    from domcli.trainer.bench.sides import synthetic_images
    from domcli.trainer.data import Dataset, ImageSet
    from domcli.trainer.engine import Engine
    from domcli.trainer.fast.convert import convert
    from domcli.trainer.fast.cpu import Way
    from domcli.trainer.fast.twin import Twins
    from domcli.trainer.seeding import Purpose, reseed
    from domcli.trainer.state import Training

    preset, *overrides = CASES[case]
    settings, cpu = resolve(preset, overrides), torch.device("cpu")
    devices.keep_freed_memory()
    devices.prepare(cpu)
    images, labels = synthetic_images(settings.train.batch_size)
    pictures = ImageSet(images.contiguous(memory_format=torch.channels_last), labels)
    means = ((0.5,) * 3, (0.25,) * 3)
    training = Training.fresh(settings, Dataset(pictures, pictures, tuple("0123456789"), *means), cpu)
    convert(training.classifier)
    engine = Engine(training)
    engine.compute(Twins(training.classifier), {})
    Way(torch.get_num_threads(), case == "kernels").take()
    done, index = 0, torch.arange(len(labels))
    for line in sys.stdin:
        steps, began, cpu_began = int(line), time.perf_counter(), time.process_time()
        for _ in range(steps):
            reseed(0, Purpose.STEP, 0, done)
            engine.step(index, 0.01, False)
            done += 1
        taken, used = (time.perf_counter() - began) / steps, (time.process_time() - cpu_began) / steps
        state = [training.meter.sums, *training.classifier.state_dict().values()]
        digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in state)).hexdigest()
        print(json.dumps({"seconds": taken, "cpu": used, "digest": digest}), flush=True)
    return 0


def _print_table(case: str, found: dict[str, Any]) -> None:
    print(f"{case + ', ms a step: median (best)':32}" + "".join(f"{load:>20}" for load in LOADS))
    for way in WAYS:
        print(f"{way:32}", end="")
        for load in LOADS:
            taken = [1000 * one for one in found["seconds"][load][way]]
            print(f"{f'{statistics.median(taken):.0f} ({min(taken):.0f})':>20}", end="")
        print()
    print()


if __name__ == "__main__":
    sys.exit(main())
