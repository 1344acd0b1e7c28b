"""How much faster domcli's training step is than that of a plain loop: `python benchmarks/step.py --help`.

Both sides train the same network on the same pictures, each in a process of its own (the memory allocator and the
threads belong to a process), and take turns: while one works the other waits, and the two measurements of a pair
follow each other, so that a machine whose speed drifts still gives a fair ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torchvision
from sides import Job, Measurement, Side, median_loss, serve

from domcli.errors import DomcliError
from domcli.presets import resolve
from domcli.settings import Settings
from domcli.trainer import TORCH_ENVIRONMENT
from domcli.trainer.device import select_device

CASES = {
    "natural": "natural-baseline",
    "natural-remove": "natural-dom-re",
    "natural-augmix": "natural-dom-augmix",
    "natural-randaugment": "natural-dom-randaugment",
    "fgsm": "fgsm-baseline",
    "fgsm-remove": "fgsm-dom-re",
    "fgsm-augmix": "fgsm-dom-augmix",
    "fgsm-randaugment": "fgsm-dom-randaugment",
    "pgd-10": "pgd-baseline",
    "pgd-10-remove": "pgd-dom-re",
    "pgd-10-augmix": "pgd-dom-augmix",
    "pgd-10-randaugment": "pgd-dom-randaugment",
}
"""The cases, and the presets whose settings they take."""

PAIRS = {"none": 7, "fgsm": 5, "pgd": 3}
"""Pairs of measurements of a case, by its attack: a plain PGD-10 step takes most of a minute on two CPU cores."""

STEPS = {"cpu": 1, "cuda": 20}
"""Steps of one measurement; several on CUDA, so that the host can run ahead of the device as it does in training."""

STILL = 1e-6
"""A learning rate that leaves the network as it was initialised: random labels then stay half high-confidence."""

SIDES: tuple[Side, Side] = ("plain", "domcli")


class WorkerEnded(Exception):
    """A worker process ended before it answered."""


@dataclass
class Worker:
    """A process that measures one side."""

    side: Side
    connection: Connection

    def receive(self) -> Any:
        """Return what the process sends next. Raises WorkerEnded if it is gone."""
        try:
            return self.connection.recv()
        except EOFError:
            raise WorkerEnded(f"the {self.side} side ended before it answered; what went wrong stands above") from None

    def measure(self) -> Measurement:
        """Have the process work once, and wait for it."""
        self.connection.send("go")
        measurement: Measurement = self.receive()
        return measurement


def main() -> int:
    """Run the benchmark and return the exit code."""
    options = _parse()
    try:
        report = _run(options)
    except (DomcliError, WorkerEnded) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    _print_table(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time domcli's training step against that of a plain training loop.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--steps", type=_positive, help="pairs of measurements of each case (default: 3 to 7)")
    parser.add_argument("--batch-size", type=_positive, default=128, help="default: 128")
    parser.add_argument("--width", type=_positive, default=64, help="of PreActResNet-18 (default: 64, as published)")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    options = parser.parse_args()
    if options.json is not None:  # found out now, not after half an hour
        try:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.open("a").close()
        except OSError as error:
            parser.error(f"cannot write {options.json}: {error.strerror}")
    return options


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _run(options: argparse.Namespace) -> dict[str, Any]:
    device = select_device(options.device)
    overrides = [f"model.width={options.width}", f"train.batch_size={options.batch_size}", f"train.max_lr={STILL}"]
    threshold = median_loss(resolve("natural-baseline", overrides))
    overrides.append(f"dom.threshold={threshold}")
    report: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "torchvision": torchvision.__version__,
        "cores": os.cpu_count(),
        "model": "preactresnet18",
        "width": options.width,
        "batch_size": options.batch_size,
        "threshold": threshold,
        "steps_per_measurement": STEPS[device.type],
        "cases": [],
    }
    for case in options.only or CASES:
        settings = resolve(CASES[case], overrides)
        pairs = options.steps or PAIRS[settings.attack.name]
        environment, result = _run_case(case, settings, str(device), pairs)
        report |= environment
        report["cases"].append(result)
    return report


def _run_case(case: str, settings: Settings, device: str, pairs: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the environment of the domcli side, and the measurements with what they come to."""
    job = Job(settings, device, STEPS[device.partition(":")[0]])
    measured: dict[Side, list[Measurement]] = {side: [] for side in SIDES}
    with _worker("plain", job) as plain, _worker("domcli", job) as domcli:
        environments = [worker.receive() for worker in (plain, domcli)]
        for pair in range(pairs + 1):
            # Whoever is first in one pair is second in the next; the first pair of all warms up and does not count.
            for worker in (plain, domcli) if pair % 2 else (domcli, plain):
                measurement = worker.measure()
                if pair:
                    measured[worker.side].append(measurement)
                counted = f"pair {pair} of {pairs}" if pair else "warm-up"
                print(f"{case}, {counted}, {worker.side}: {measurement.seconds:.3f} s a step", file=sys.stderr)
    environment = {key: value for key, value in environments[1].items() if key != "threads"}
    environment["threads"] = {side: found["threads"] for side, found in zip(SIDES, environments, strict=True)}
    return environment, {"case": case, "preset": CASES[case], **_summary(measured)}


@contextmanager
def _worker(side: Side, job: Job) -> Iterator[Worker]:
    here, there = (spawning := get_context("spawn")).Pipe()
    process = spawning.Process(target=serve, args=(there, side, job), daemon=True)
    # The trainer process gives torch this environment; plain research code does not.
    before = dict(os.environ)
    os.environ.update(TORCH_ENVIRONMENT if side == "domcli" else {})
    process.start()
    for variable in TORCH_ENVIRONMENT:
        os.environ.pop(variable, None)
    os.environ.update(before)
    there.close()
    try:
        yield Worker(side, here)
    finally:
        here.close()
        process.terminate()
        process.join()


def _summary(measured: dict[Side, list[Measurement]]) -> dict[str, Any]:
    ratios = [one.seconds / other.seconds for one, other in zip(*(measured[side] for side in SIDES), strict=True)]
    summary: dict[str, Any] = {"ratio": statistics.median(ratios), "ratios": ratios}
    summary["cpu_ratio"] = statistics.median(
        one.cpu / other.cpu for one, other in zip(*(measured[side] for side in SIDES), strict=True)
    )
    for side, measurements in measured.items():
        summary[side] = {
            key: statistics.median(getattr(one, key) for one in measurements)
            for key in ("seconds", "cpu", "loading", "high_confidence")
        }
        summary[side]["measurements"] = [asdict(one) for one in measurements]
    return summary


def _print_table(report: dict[str, Any]) -> None:
    threads = report["threads"]
    print(
        f"PreActResNet-18, width {report['width']}, batch {report['batch_size']}, on {report['device_name']}\n"
        f"torch {report['torch']}; plain: float32, {threads['plain']} threads; "
        f"domcli: {report['precision']}, {threads['domcli']} threads; {report['date']}\n"
        f"threshold {report['threshold']:.3f}, the median loss: about half of each batch is high-confidence (HC)\n"
    )
    print(f"{'':20}{'seconds a step':^30}{'':8}{'HC, %':^14}{'ratio':^32}")
    print(f"{'case':20}{'plain':>10}{'loading':>10}{'domcli':>10}{'images/s':>10}{'plain':>8}{'domcli':>8}", end="")
    print(f"{'median':>8}{'lowest':>8}{'highest':>9}{'CPU':>8}")
    for case in report["cases"]:
        plain, domcli, ratios = case["plain"], case["domcli"], case["ratios"]
        print(
            f"{case['case']:20}{plain['seconds']:10.4f}{plain['loading']:10.4f}{domcli['seconds']:10.4f}"
            f"{report['batch_size'] / domcli['seconds']:10.1f}"
            f"{100 * plain['high_confidence']:8.0f}{100 * domcli['high_confidence']:8.0f}"
            f"{case['ratio']:8.2f}{min(ratios):8.2f}{max(ratios):9.2f}{case['cpu_ratio']:8.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
