"""`domcli run --quick` of the nine DOM presets, three at a time. Found: how each was computed, and what it learnt."""

from __future__ import annotations

import all_presets
from stage_report import Place, Report
from stage_runs import accuracies, begin, facts, overrides, problems_of, shown, tested

from domcli import finding
from domcli.presets import PARADIGMS, from_run
from domcli.rundir import RunDirectory
from domcli.runs import read_run

NATURAL, PGD = 0.3, 0.2
"""Least test accuracies after six epochs of the digits, of which there are ten; a whole run reaches twice as much."""
AT_A_TIME = 3
PRESETS = tuple(f"{paradigm}-{method}" for paradigm in PARADIGMS for method in all_presets.DONE_BY)
ON_CPU = ("natural-dom-augmix",)
TINY = (
    *("data.train_images=96", "data.test_images=32", "model.width=2", "train.batch_size=32"),
    *("train.precision=float32", "attack.steps=2", "evaluation.steps=2", "train.epochs=4", "dom.threshold=2.4"),
)


def run(place: Place, report: Report) -> None:
    """Run the presets with one command and look at each run."""
    presets = ON_CPU if place.cpu else PRESETS
    folder = place.work / "runs"
    options = ["--quick", "--jobs-per-gpu", str(AT_A_TIME), "--device", place.device]
    code = begin(folder, *presets, *options, *overrides(TINY if place.cpu else ())).wait()
    report.expect(code == 0, f"domcli run ended with exit code {code}")
    runs = {read_run(one).preset: one for one in finding.list_runs(folder)}
    for preset in presets:
        if preset not in runs:
            report.expect(False, f"{preset} left no run")
            continue
        _look_at(preset, runs[preset], place, report)


def _look_at(preset: str, run: RunDirectory, place: Place, report: Report) -> None:
    state = read_run(run).state
    for problem in (*problems_of(run, place.device), *all_presets.problems_of(preset, run, from_run(run), state)):
        report.expect(False, problem if problem.startswith(run.name) else f"{run.name}: {problem}")
    found = accuracies(state)
    for kind, least in (("natural", NATURAL), ("pgd", PGD)):
        accuracy = found[kind]
        if accuracy is not None and not place.cpu:
            report.expect(accuracy >= least, f"{run.name}: {kind} accuracy {shown(accuracy)}, under {shown(least)}")
    report.keep(preset, facts(run))
    report.line(f"{preset:24} {tested(run)}")
