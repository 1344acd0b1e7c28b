"""The tables of a benchmark: the steps, and what they come to for every preset."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from domcli.cli import figures, output
from domcli.presets import METHODS, PARADIGMS

Found = Mapping[str, Any]
PUT_TOGETHER = "*"
SETTINGS_OF_THE_PAPER = {f"{paradigm}-{method}" for paradigm in PARADIGMS for method in METHODS if "dom-" in method}
GAP = 2
WIDE = 1.5
"""Of the pairs of a case, the highest ratio over the lowest from which on it is told of."""
GIVEN_UP = ("steps/s", "epochs", "arithmetic", "spread", "plain, ms", "test", "epoch, first", "images/s")
"""Columns that a narrow terminal does without, in this order."""


def write_tables(report: Found) -> None:
    """Write to stdout what was measured, and the estimates that it allows."""
    width = output.console(sys.stdout).width
    parts: list[Table | Text] = [Text(line) for line in _heading(report)]
    parts += [Text(), table_of([_step(case) for case in report["cases"]], width)]
    estimated = [_preset(one) for one in report["presets"] if one["problem"] is None]
    if estimated:
        parts += [Text(), table_of(estimated, width)]
    parts += [Text(), *(Text(line, style="dim") for line in _notes(report))]
    for part in parts:
        output.table(part)


def is_empty(report: Found) -> bool:
    """Tell whether nothing was measured."""
    return not any(case["domcli"] for case in report["cases"])


def _heading(report: Found) -> list[str]:
    threads, limits = report["threads"], report["limits"]
    plain = f"; plain loop: float32, threads: {threads['plain']}" if threads["plain"] else ""
    engine = "".join(f"; {key}: {value}" for key, value in report["engine"].items())
    return [
        f"PreActResNet-18 of width {report['width']}, batch {report['batch_size']}, on {report['device']} "
        f"({report['device_name']}); torch {report['torch']}",
        f"domcli: {report['precision']}, threads: {threads['domcli']}{engine}{plain}",
        f"peak: {limits['flops'] / 1e12:.3g} TFLOP/s ({limits['flops_source']}), "
        f"{limits['bandwidth'] / 1e9:.3g} GB/s ({limits['bandwidth_source']})",
    ]


def _step(case: Found) -> dict[str, str]:
    domcli, plain, ratios, floor = case["domcli"], case["plain"], case["ratios"], case["floor"]
    missing = figures.MISSING
    return {
        "case": case["case"],
        "ms a step": number(1e3 * domcli["seconds"]) if domcli else missing,
        "steps/s": number(domcli["steps_per_second"]) if domcli else missing,
        "images/s": number(domcli["images_per_second"]) if domcli else missing,
        "plain, ms": number(1e3 * plain["seconds"]) if plain else missing,
        "faster": f"{case['ratio']:.2f}x" if ratios else missing,
        "spread": f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else missing,
        "arithmetic": f"{100 * floor['arithmetic_share']:.1f} %" if floor else missing,
        "floor": f"{100 * floor['share']:.1f} %" if floor else missing,
    }


def _preset(one: Found) -> dict[str, str]:
    return {
        "preset": one["preset"] + (PUT_TOGETHER if one["put_together"] else ""),
        "epochs": str(one["epochs"]),
        "epoch, first": _time(one["epoch_before"]),
        "epoch with DOM": _time(one["epoch_after"]),
        "test": _time(one["evaluation"]),
        "whole run": _time(one["total"]),
        "plain epoch": _time(one["plain_epoch"]) if one.get("plain_epoch") else figures.MISSING,
        "faster": f"{one['epoch_ratio']:.1f}x" if one.get("epoch_ratio") else figures.MISSING,
    }


def _notes(report: Found) -> list[str]:
    notes = [
        "faster: plain over domcli, median and spread of the pairs; floor: the share of the speed at which arithmetic "
        "and memory traffic, one after the other, would be all that a step takes; arithmetic: of arithmetic alone",
    ]
    estimated = [one for one in report["presets"] if one["problem"] is None]
    if estimated:
        images = {case["evaluation"]["images"] for case in report["cases"] if case["evaluation"]}
        notes.append(
            "presets are extrapolated from measured steps and an evaluation of "
            f"{' or '.join(f'{count:,}' for count in sorted(images))} images: {'; '.join(report['assumptions'])}"
        )
    if any(one.get("plain_epoch") for one in estimated):
        notes.append(
            "plain epoch: of the plain loop after the warm-up, with PGD on the test set and on the training set after "
            "it, as the official script does; faster: than that an epoch with DOM and its test are"
        )
    nine = [one["total"] for one in estimated if one["preset"] in SETTINGS_OF_THE_PAPER]
    if len(nine) == len(SETTINGS_OF_THE_PAPER):
        notes.append(f"the paper's nine settings, one seed, one after the other: {figures.duration(sum(nine))}")
    if any(one["put_together"] for one in estimated):
        notes.append(
            f"{PUT_TOGETHER} the step is one without augmentation and what augmenting every image adds to a natural one"
        )
    missing = len(report["presets"]) - len(estimated)
    if missing:
        notes.append(f"{missing} of {len(report['presets'])} presets are not estimated: a measurement is missing")
    notes += [f"{case['case']}: {case['problem']}" for case in report["cases"] if case["problem"]]
    if any(case["floor"] and case["floor"]["arithmetic_share"] > 1 for case in report["cases"]):
        notes.append("more than 100 % of the arithmetic: something else was running while the peak was measured")
    if any(max(case["ratios"], default=0) > WIDE * min(case["ratios"], default=0) for case in report["cases"]):
        notes.append("a wide spread: something else was running; measure again when nothing is")
    if not report["complete"]:
        notes.append("not everything that was asked for has been measured")
    return notes


def table_of(rows: Sequence[Mapping[str, str]], width: int, given_up: Sequence[str] = GIVEN_UP) -> Table:
    """Return a table of the columns that fit, the first to the left and the others to the right.

    Where they do not, the columns in `given_up` are left out, in that order.
    """
    titles = list(rows[0])
    widths = {title: max(cell_len(title), *(cell_len(row[title]) for row in rows)) for title in titles}
    for title in given_up:
        if sum(widths[one] + GAP for one in titles) - GAP > width and title in titles:
            titles.remove(title)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=True, justify="left" if title == titles[0] else "right")
    for row in rows:
        table.add_row(*(row[title] for title in titles))
    return table


def _time(seconds: float) -> str:
    return f"{figures.seconds(seconds)} s" if seconds < 60 else figures.duration(seconds)


def number(value: float) -> str:
    """Return a figure with three significant digits, or whole above."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
