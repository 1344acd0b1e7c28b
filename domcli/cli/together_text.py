"""The table of trainers that train at the same time, and what `--jobs-per-gpu auto` takes from it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from domcli.cli import figures, output
from domcli.cli.bench_text import number, table_of

UNSTEADY = 0.2
"""A part of the time whose rate is so far from the whole is told of."""
Found = Mapping[str, Any]
GIVEN_UP = ("threads", "steps/s", "spread", "slow-down", "memory of each")
"""Columns that a narrow terminal does without, in this order."""


def write_tables(report: Found) -> None:
    """Write to stdout what was measured, and what follows from it."""
    output.table(Text(_heading(report)))
    rows = [_row(case, crowd) for case in report["cases"] for crowd in case["together"]]
    output.table(Text())
    output.table(table_of(rows, output.console(sys.stdout).width, GIVEN_UP))
    output.table(Text())
    for line in _choices(report):
        output.table(Text(line))
    for line in _notes(report):
        output.table(Text(line, style="dim"))


def is_empty(report: Found) -> bool:
    """Tell whether nothing was measured."""
    return not any(crowd["images_per_second"] for case in report["cases"] for crowd in case["together"])


def _heading(report: Found) -> str:
    return (
        f"PreActResNet-18 of width {report['width']}, batch {report['batch_size']}, trainers at the same time on "
        f"{report['device']} ({report['device_name']}), {report['cores']} CPU cores; {report['precision']}, "
        f"torch {report['torch']}"
    )


def _row(case: Found, crowd: Found) -> dict[str, str]:
    missing = figures.MISSING
    rate, memory = crowd["images_per_second"], crowd["memory"]
    parts = _parts(crowd)
    return {
        "case": _name(case),
        "trainers": str(crowd["trainers"]),
        "images/s": number(rate) if rate else missing if crowd["fits"] else "does not fit",
        "steps/s": number(crowd["steps_per_second"]) if rate else missing,
        "times one": f"{crowd['times_one']:.2f}x" if crowd["times_one"] else missing,
        "spread": f"{min(parts):.2f} to {max(parts):.2f}" if parts else missing,
        "slow-down": f"{crowd['slow_down']:.2f}x" if crowd["slow_down"] else missing,
        "threads": str(crowd["threads"] or missing),
        "memory of each": f"{memory / 1e9:.2f} GB" if memory else missing,
    }


def _parts(crowd: Found) -> list[float]:
    """Return the rate in each part of the time, as a share of the whole."""
    return [sum(part["steps_per_second"]) / crowd["steps_per_second"] for part in crowd["measurements"]]


def _choices(report: Found) -> list[str]:
    """Return what `auto` takes, a line for trainers without the service, and one for those with it."""
    lines = []
    for mps in (False, True):
        found = [f"{case['case']} {case['auto']}" for case in report["cases"] if case["mps"] == mps and case["auto"]]
        if found:
            lines.append(f"--jobs-per-gpu auto{' where an MPS daemon runs' if mps else ''}: {', '.join(found)}")
    return lines


def _notes(report: Found) -> list[str]:
    notes = [
        "images/s and steps/s: of all together, while all of them train; spread: of its parts around that; slow-down: "
        "of each beside one alone; auto: the fewest within 5 % of the best rate"
    ]
    service = report["mps"]
    if service["service"]:
        notes.append(f"with MPS: with NVIDIA's Multi-Process Service {service['service']}")
    elif service["problem"]:
        notes.append(f"not measured with NVIDIA's Multi-Process Service: {service['problem']}")
    for case in report["cases"]:
        problems = ((crowd["trainers"], crowd["problem"]) for crowd in case["together"] if crowd["problem"])
        notes += [f"{_name(case)}, {trainers}: {problem}" for trainers, problem in problems]
    if any(
        abs(part - 1) > UNSTEADY for case in report["cases"] for crowd in case["together"] for part in _parts(crowd)
    ):
        notes.append("a wide spread: something else was running; measure again when nothing is")
    if report["remembered"]:
        notes.append(f"remembered in {report['remembered']}")
    if not report["complete"]:
        notes.append("not everything that was asked for has been measured")
    return notes


def _name(case: Found) -> str:
    return f"{case['case']} with MPS" if case["mps"] else str(case["case"])
