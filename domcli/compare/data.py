"""The comparison for programs: one JSON object, or a tidy CSV table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

from domcli import __version__, printable
from domcli.compare.comparison import Comparison
from domcli.compare.groups import Group, LeftOut, attacks
from domcli.compare.paper import OTHER, Match
from domcli.compare.records import POINTS, Metric, Point, Record, criterion
from domcli.compare.sheets import best_epoch, patterns
from domcli.compare.significance import Contrast
from domcli.compare.statistics import Summary
from domcli.printable import cell

Quantity = tuple[str, str, Point, Callable[[Record], float | None]]

QUANTITIES: tuple[Quantity, ...] = (
    ("best-epoch", "epochs", "best", best_epoch),
    ("high-confidence", "patterns", "last", lambda record: patterns(record, "high_confidence")),
    ("original", "patterns", "last", lambda record: patterns(record, "original")),
    ("transformed", "patterns", "last", lambda record: patterns(record, "transformed")),
    ("training-time", "s", "last", lambda record: record.seconds),
)
"""What a row of the CSV table can be besides an accuracy: name, unit, the columns it fills, and its value."""


def as_json(comparison: Comparison) -> str:
    """Return one object with groups, differences, tests, paper and notes; accuracies in percent, times in seconds."""
    content = {
        "domcli": __version__,
        "made": comparison.made.isoformat(timespec="seconds"),
        "unit": "percent",
        "measure": "error" if comparison.error else "accuracy",
        "at_epoch": comparison.at_epoch,
        "metrics": _metrics(comparison),
        "groups": [_group(comparison, group) for group in comparison.groups],
        "differences": [
            {"key": key, "values": {group.name: group.settings.get(key) for group in comparison.groups}}
            for key in comparison.differing
        ],
        "tests": [_contrast(contrast) for contrast in comparison.contrasts],
        "paper": None if comparison.paper is None else [_match(match) for match in comparison.paper],
        "left_out": [_left_out(name, one) for name, one in comparison.left_out],
        "notes": list(comparison.notes),
    }
    return printable.as_json(content)


def as_csv(comparison: Comparison) -> str:
    """Return a row for each group and metric; every row says which runs its numbers come from."""
    rows = [row for group in comparison.groups for row in _csv_rows(comparison, group)]
    columns = ["group", "metric", "unit", *(f"{point}_{part}" for point in POINTS for part in ("n", "mean", "std"))]
    if comparison.paper is not None:
        columns += [f"paper_{point}_{part}" for point in POINTS[:2] for part in ("mean", "std", "verdict")]
    columns += ["runs", "seeds", "epochs", "git_commits", "domcli_versions", "made_by", "made"]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: cell(value) if isinstance(value, str) else value for key, value in row.items()})
    return out.getvalue()


def _metrics(comparison: Comparison) -> dict[str, Any]:
    """Return what each accuracy is called in tables, and how those from afterwards are asked for."""
    evaluated = attacks(comparison.groups)
    return {
        metric: {
            "title": comparison.title(metric),
            "evaluate": evaluated[metric].options if metric in evaluated else None,
        }
        for metric in comparison.metrics
    }


def _csv_rows(comparison: Comparison, group: Group) -> Iterator[dict[str, Any]]:
    source = {
        "group": group.name,
        "runs": _joined(record.run.directory.path for record in group.records),
        "seeds": _joined(record.seed for record in group.records),
        "epochs": _joined(record.last.epoch if record.last else "" for record in group.records),
        "git_commits": _joined(record.environment.get("git_commit") or "" for record in group.records),
        "domcli_versions": _joined(record.environment.get("domcli") or "" for record in group.records),
        "made_by": f"domcli {__version__}",
        "made": comparison.made.isoformat(timespec="seconds"),
    }
    unit = "% error" if comparison.error else "% accuracy"
    for metric in comparison.metrics:
        cells: dict[str, Any] = {}
        for point in POINTS:
            cells.update(_csv_cells(point, group.summary(metric, point, comparison.error)))
        yield {**source, "metric": metric, "unit": unit, **cells, **_csv_paper(comparison, group, metric)}
    for name, unit_of, point, value in QUANTITIES:
        yield {**source, "metric": name, "unit": unit_of, **_csv_cells(point, group.of_records(value))}


def _csv_cells(point: Point, summary: Summary) -> dict[str, Any]:
    return {f"{point}_n": summary.n, f"{point}_mean": summary.mean, f"{point}_std": summary.std}


def _csv_paper(comparison: Comparison, group: Group, metric: Metric) -> dict[str, Any]:
    match = next((match for match in comparison.paper or () if match.group == group.name), None)
    if match is None:
        return {}
    cells: dict[str, Any] = {f"paper_{point}_verdict": OTHER for point in POINTS[:2]} if match.deviations else {}
    for row in match.rows:
        if row.metric == metric:
            values = {"mean": row.paper.mean, "std": row.paper.std, "verdict": row.verdict}
            cells.update({f"paper_{row.point}_{part}": value for part, value in values.items()})
    return cells


def _joined(values: Iterator[Any]) -> str:
    return ";".join(map(str, values))


def _group(comparison: Comparison, group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "n": group.n,
        "seeds": [record.seed for record in group.records],
        "best_chosen_by": criterion(group.settings),
        **{
            point: {
                metric: _summary(group.summary(metric, point, comparison.error))
                for metric in comparison.metrics
                if group.measures(metric)
            }
            for point in POINTS
        },
        **{
            name.replace("-", "_"): {**_summary(group.of_records(value)), "unit": unit}
            for name, unit, _, value in QUANTITIES
        },
        "runs": [_run(comparison, record) for record in group.records],
        "left_out": [_left_out(group.name, one) for one in group.left_out],
        "settings": _tables(group),
    }


def _run(comparison: Comparison, record: Record) -> dict[str, Any]:
    imported = record.environment.get("imported_from")
    started = None if imported else record.run.state.started
    best = record.best
    return {
        "name": record.name,
        "path": str(record.run.directory.path),
        "seed": record.seed,
        "preset": record.environment.get("preset"),
        "state": record.run.status,
        "epochs": record.last.epoch if record.last else None,
        "best_epoch": best.epoch if best else None,
        "seconds": record.seconds,
        "device": started.device_name if started else None,
        "precision": started.precision if started else None,
        "domcli": record.environment.get("domcli"),
        "git_commit": record.environment.get("git_commit"),
        "imported_from": imported,
        "accuracy": {
            metric: {point: record.accuracy(metric, point) for point in POINTS[:2]} for metric in comparison.metrics
        },
    }


def _left_out(group: str | None, one: LeftOut) -> dict[str, Any]:
    record = one.record
    return {
        "name": record.name,
        "path": str(record.run.directory.path),
        "group": group,
        "seed": record.seed,
        "reason": one.reason,
    }


def _contrast(contrast: Contrast) -> dict[str, Any]:
    found = contrast.difference
    return {
        "metric": contrast.metric,
        "point": contrast.point,
        "group": contrast.group,
        "baseline": contrast.baseline,
        "method": found.method,
        "n": list(found.n),
        "difference": found.value,
        "interval": None if found.interval is None else list(found.interval),
        "p": found.p,
        "more_seeds": found.more_seeds,
    }


def _match(match: Match) -> dict[str, Any]:
    return {
        "group": match.group,
        "preset": match.entry.preset,
        "table": match.entry.table,
        "reproduces": not match.deviations,
        "deviations": [{"key": one.key, "group": one.own, "paper": one.paper} for one in match.deviations],
        "results": [
            {
                "metric": row.metric,
                "point": row.point,
                "own": _summary(row.own),
                "published": _summary(row.paper),
                "gap": row.gap,
                "interval": None if row.interval is None else list(row.interval),
                "verdict": row.verdict,
            }
            for row in match.rows
        ],
    }


def _summary(summary: Summary) -> dict[str, Any]:
    return {"mean": summary.mean, "std": summary.std, "n": summary.n}


def _tables(group: Group) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for name, value in group.settings.items():
        section, _, key = name.partition(".")
        tables.setdefault(section, {})[key] = value
    return tables
