"""What came out of the rows of the paper's tables: the summary for people, and one object for programs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from reproduce_plan import SHORTENED, Task, Wanted

from domcli.cli.figures import count, percent
from domcli.cli.summary import as_json
from domcli.events import EpochEnd, TestMetrics
from domcli.runs import Run
from domcli.runstate import headline_accuracy

Comparison = Mapping[str, Any]
"""What `domcli compare-runs --paper --json` says."""

MEASURES = {"pgd_accuracy": "PGD", "one_step_accuracy": "one-step", "natural_accuracy": "natural"}
TRY = "A try of the program at a tiny size: its numbers mean nothing."
JPEG = "Images: JPEG-compressed, from an archive, which costs a little accuracy: no run on them is the paper's."


def results(wanted: Wanted, tasks: Sequence[Task], runs: Mapping[str, Run], comparison: Comparison | None) -> Any:
    """Return everything that is known of the runs; accuracies of runs are fractions, those of `paper` percent."""
    return {
        "schema": 1,
        "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "jpeg": wanted.jpeg,
        "cpu": wanted.cpu,
        "seeds": list(wanted.seeds),
        "runs": [
            {
                "row": task.row,
                "method": task.method,
                "name": task.name,
                "shortened": wanted.factor(task.row),
                "epochs": task.epochs,
                "paper_epochs": task.whole,
                "run": as_json(runs[task.name]) if task.name in runs else None,
            }
            for task in tasks
        ],
        "paper": comparison["paper"] if comparison else [],
    }


def summary(
    wanted: Wanted, tasks: Sequence[Task], runs: Mapping[str, Run], comparison: Comparison | None
) -> Iterator[str]:
    """Yield the lines of the summary: what was asked for, each run, and how the finished ones stand to the paper."""
    yield f"Rows of the paper's tables: {', '.join(_row(row, tasks, wanted) for row in wanted.rows)}"
    yield f"{'seed' if len(wanted.seeds) == 1 else 'seeds'} {', '.join(map(str, wanted.seeds))}; {_device(runs)}"
    if wanted.cpu:
        yield TRY
    elif wanted.jpeg:
        yield JPEG
    yield ""
    width = max(len(task.name) for task in tasks)
    for task in tasks:
        yield from _of_run(task, runs.get(task.name), width)
    yield ""
    yield from _beside_paper(comparison, wanted.cpu)


def _row(row: str, tasks: Sequence[Task], wanted: Wanted) -> str:
    task = next(task for task in tasks if task.row == row)
    if task.epochs == task.whole:
        return f"{row} ({task.whole} epochs)"
    usual = "" if wanted.shorten or wanted.cpu or row not in SHORTENED else "; whole with --shorten 1"
    return f"{row} (SHORTENED to {task.epochs} of {task.whole} epochs, warm-up and schedule with them{usual})"


def _device(runs: Mapping[str, Run]) -> str:
    begun = [run.state.started for run in runs.values() if run.state.started]
    found = dict.fromkeys(f"{started.device_name} in {started.precision}" for started in begun)
    return f"trained on {', '.join(found)}" if found else "nothing has been trained yet"


def _of_run(task: Task, run: Run | None, width: int) -> Iterator[str]:
    # A run that was stopped in the queue, or while its trainer started, has a directory, but nothing else either.
    if run is None or (run.status == "stopped" and run.state.started is None):
        yield f"{task.name:{width}}  not begun, 0 of {task.epochs} epochs"
        return
    state = run.state
    pace = f", {state.seconds / state.epochs_done:.2f} s an epoch with its test" if state.epochs else ""
    yield f"{task.name:{width}}  {run.status}, {state.epochs_done} of {task.epochs} epochs{pace}"
    best, last = state.best, state.last
    for field, name in MEASURES.items():
        values = [_accuracy(end.test, field) if end else None for end in (best, last)]
        if values != [None, None]:
            yield f"  {name:9}{_at('best', best, values[0])}   {_at('last', last, values[1])}{_difference(*values)}"
    yield from (f"  {line}" for line in _patterns(run))
    yield from (f"  {one.badge}: {one.reason}" for one in run.findings)
    if run.status == "failed":
        yield f"  {getattr(state.closing, 'reason', '')}"


def _accuracy(test: TestMetrics | None, field: str) -> float | None:
    found: float | None = getattr(test, field, None)
    return found


def _at(label: str, end: EpochEnd | None, value: float | None) -> str:
    where = f" (epoch {end.epoch})" if end else ""
    return f"{label} {percent(value):>6} %{where}"


def _difference(best: float | None, last: float | None) -> str:
    return "" if best is None or last is None else f"   difference {100 * (best - last):+.2f} points"


def _patterns(run: Run) -> Iterator[str]:
    found = run.state.epochs[-1].memorization if run.state.epochs else None
    if found is None:
        return
    of = f" of {count(run.state.started.train_size)}" if run.state.started else ""
    parts = f"high-confidence {count(found.high_confidence)}{of} patterns (loss < {found.threshold:g})"
    if found.original is not None and found.transformed is not None:
        parts += f": {count(found.original)} original, {count(found.transformed)} transformed"
    yield parts + (f"; {count(found.removed)} removed in the last epoch" if found.removed else "")


def _beside_paper(comparison: Comparison | None, cpu: bool) -> Iterator[str]:
    matches = comparison["paper"] if comparison else []
    counted = {group["name"]: group["n"] for group in comparison["groups"] if group["n"]} if comparison else {}
    matches = [match for match in matches if match["group"] in counted]
    if not matches:
        yield "No run is finished: nothing can be held against the paper yet."
        return
    if not cpu:
        yield (
            "Beside the paper, test accuracy in %, gaps in points (published: mean ± deviation over 3 seeds; more in "
            "comparison.md):"
        )
        # What is the same for baseline and DOM_RE of a row is said once.
        for _, alike in groupby(matches, key=lambda match: (_row_of(match), match["deviations"])):
            yield from _matches(list(alike), counted)
        yield from _gains(matches)
    yield _verdict(matches)


def _row_of(match: Mapping[str, Any]) -> str:
    return str(match["preset"]).partition("-")[0]


def _matches(alike: Sequence[Mapping[str, Any]], seeds: Mapping[str, int]) -> Iterator[str]:
    """Yield what stands beside the paper of groups that differ from it in the same settings, or in none."""
    if deviations := alike[0]["deviations"]:
        differ = "; ".join(f"{one['key']} is {one['group']}, not {one['paper']}" for one in deviations)
        yield f"{', '.join(match['group'] for match in alike)}: NOT the paper's settings: {differ}"
    for match in alike:
        yield from _match(match, seeds[match["group"]])


def _match(match: Mapping[str, Any], seeds: int) -> Iterator[str]:
    relation = "the settings of" if match["reproduces"] else "nearest is"
    where = f"{match['preset']} of {match['table']}"
    yield f"{match['group']}: {relation} {where}, {seeds} seed{'' if seeds == 1 else 's'}"
    for row in match["results"]:
        own, published = row["own"]["mean"], row["published"]
        gap = f"gap {row['gap']:+6.2f}   {row['verdict']}"
        yield (
            f"  {row['metric']:8} {row['point']}   own {own:6.2f}   published {published['mean']:6.2f} ± "
            f"{published['std']:.2f}   {gap}"
        )


def _gains(matches: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what DOM_RE gains over the baseline of its row, own and published."""
    results = {(match["preset"], row["metric"], row["point"]): row for match in matches for row in match["results"]}
    for (preset, metric, point), row in results.items():
        row_name, _, method = preset.partition("-")
        baseline = results.get((f"{row_name}-baseline", metric, point))
        if method != "dom-re" or baseline is None:
            continue
        own = row["own"]["mean"] - baseline["own"]["mean"]
        published = row["published"]["mean"] - baseline["published"]["mean"]
        yield (
            f"DOM_RE minus baseline, in points, {row_name}, {metric} {point}: own {own:+.2f}, "
            f"published {published:+.2f}"
        )


def _verdict(matches: Sequence[Mapping[str, Any]]) -> str:
    """Return in a sentence what may be claimed. The paper's settings alone are no reproduction: the numbers count."""
    alike = [match for match in matches if match["reproduces"]]
    if not alike:
        return "Verdict: none, for no run has the paper's settings; the numbers beside each other are no reproduction."
    verdicts = [row["verdict"] for match in alike for row in match["results"]]
    said = ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts))
    others = len(matches) - len(alike)
    rest = f"; {others} others have other settings and no verdict" if others else ""
    few = " A verdict needs two seeds at least: --seeds 0,1,2." if "too few seeds" in verdicts else ""
    return f"Verdict on the numbers of {len(alike)} settings that are the paper's: {said}{rest}.{few}"


def progress(tasks: Sequence[Task], runs: Mapping[str, Run], spent: float, budget: float, left: float | None) -> str:
    """Return one line: time, what trains now with its pace and accuracy, and how long all that is asked for takes."""
    clock = f"[{spent:4.0f} s of {budget:.0f}]"
    done = sum(run.status == "finished" for run in runs.values())
    if done == len(tasks):
        return f"{clock} all finished"
    at_work = [_at_work(task, runs[task.name]) for task in tasks if task.name in runs]
    now = "; ".join(line for line in at_work if line) or _waiting(tasks, runs)
    rest = "ETA after the first epoch" if left is None else f"all asked for in about {left:,.0f} s more"
    return f"{clock} {now}; {done} of {len(tasks)} finished, {rest}"


def too_small(budget: float, ahead: float, start: float | None, epoch: float | None, closing: float) -> str:
    """Return that the budget is too small for any progress, and which would help; all times in seconds.

    `ahead` is what was spent before the first run was queued, `start` and `epoch` are None if not known.
    """
    known = None if start is None or epoch is None else ahead + start + epoch + closing
    least = f"more than {max(0.0, budget - closing - ahead):.0f} s" if start is None else f"{start:.0f} s"
    timed = "how long an epoch takes is not known yet" if epoch is None else f"an epoch {epoch:.1f} s"
    # Rounded up to tens; what is known may be too little, as where others use the device.
    helps = 10 * math.ceil(known / 10) if known and known > budget else 2 * math.ceil(budget)
    return f"The budget is too small to make progress: a start takes {least} here, {timed}; try --budget {helps}."


def _waiting(tasks: Sequence[Task], runs: Mapping[str, Run]) -> str:
    """Return what is the case while nothing trains."""
    queued = [task.name for task in tasks if task.name in runs and runs[task.name].status == "queued"]
    if queued:
        return f"{queued[0]} is next in the queue"
    return "nothing trains or waits"


def _at_work(task: Task, run: Run) -> str:
    if run.status == "starting":
        return f"starting {task.name}"
    if run.status != "running":
        return ""
    state = run.state
    remaining = state.remaining_seconds()
    eta = "" if remaining is None else f", ETA {remaining:,.0f} s"
    accuracy = f", {percent(headline_accuracy(state.last))} %" if state.last else ""
    return f"{task.name} {state.epochs_done}/{task.epochs} epochs{accuracy}{eta}"
