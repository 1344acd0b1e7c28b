"""What `domcli evaluate` found, in the tables, data, tests and gates of a comparison."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import msgspec
import pytest
from compared import write_run
from scipy import stats

from domcli import evaluations
from domcli.compare import FORMATS, Comparison, Format, compare, export, select
from domcli.compare.assertions import check, parse
from domcli.compare.attacks import GRAMMAR, Attack, attack_of
from domcli.compare.groups import Group
from domcli.compare.records import Record, read_record
from domcli.compare.sheets import sheets
from domcli.compare.statistics import Summary
from domcli.rundir import RunDirectory
from domcli.runs import Run

PGD = evaluations.Plan(
    checkpoint="checkpoints/best.safetensors",
    digest="ab",
    epoch=2,
    step=0,
    attack="pgd",
    norm="linf",
    epsilon=8.0,
    alpha=2.0,
    steps=50,
    restarts=10,
    seed=0,
)
AUTOATTACK = msgspec.structs.replace(PGD, attack="autoattack", alpha=None, steps=None, restarts=None)


def evaluated(plan: evaluations.Plan, accuracy: float, **changes: object) -> evaluations.Evaluation:
    found = evaluations.Evaluation(
        plan=plan,
        accuracy=accuracy,
        natural_accuracy=0.9,
        stages={},
        images=10,
        test_images=10,
        seconds=1.0,
        date=1.0,
        device="cpu",
        device_name="a machine",
        versions={},
    )
    return msgspec.structs.replace(found, **changes)


def attacked(
    run: RunDirectory, epoch: int, accuracy: float, plan: evaluations.Plan = AUTOATTACK, **changes: object
) -> None:
    """Keep what an attack left of the weights of an epoch; `changes` are to its plan or to the result."""
    of_plan = {key: value for key, value in changes.items() if key in evaluations.Plan.__struct_fields__}
    of_result = {key: value for key, value in changes.items() if key not in of_plan}
    name = f"checkpoints/epoch-{epoch:04}.safetensors"
    plan = msgspec.structs.replace(plan, checkpoint=name, epoch=epoch, **of_plan)
    evaluations.write_result(evaluations.prepare(run, plan), evaluated(plan, accuracy, **of_result))


def attack(plan: evaluations.Plan, **changes: object) -> Attack:
    return attack_of(evaluated(msgspec.structs.replace(plan, **changes), 0.5))


def compared(folder: Path, error: bool = False) -> Comparison:
    return compare(select(folder, ["pgd-baseline", "pgd-dom-re"]), error=error)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Best is epoch 2, last 3. PGD-50-10 on all three seeds of pgd-baseline and on two of pgd-dom-re at both."""
    for preset, found in (("pgd-baseline", (0.40, 0.42, 0.41)), ("pgd-dom-re", (0.45, 0.49))):
        for seed in range(3):
            run = write_run(tmp_path, preset, seed)
            if seed < len(found):
                attacked(run, 2, found[seed], PGD)
                attacked(run, 3, found[seed] - 0.1 * (seed + 1), PGD)
    return tmp_path


@pytest.mark.parametrize(
    ("plan", "changes", "metric", "title"),
    [
        (AUTOATTACK, {}, "aa", "AutoAttack"),
        (AUTOATTACK, {"norm": "l2", "epsilon": 128.0}, "aa-l2-eps128", "AutoAttack (L2, epsilon 128)"),
        (PGD, {}, "pgd-50-10", "PGD-50-10"),
        (PGD, {"restarts": 1}, "pgd-50", "PGD-50"),
        (
            *(PGD, {"epsilon": 0.5, "alpha": 0.25, "restarts": 1}),
            *("pgd-50-eps0.5-alpha0.25", "PGD-50 (epsilon 0.5, alpha 0.25)"),
        ),
    ],
)
def test_an_attack_is_called_after_what_decides_its_strength(
    plan: evaluations.Plan, changes: dict[str, object], metric: str, title: str
) -> None:
    found = attack(plan, **changes)
    assert (found.metric, found.title) == (metric, title)
    assert GRAMMAR.fullmatch(metric)
    assert parse(f"{metric}.last: a > 1").metric == metric


def test_a_part_of_the_images_is_another_quantity() -> None:
    found = attack_of(evaluated(PGD, 0.5, test_images=200))
    assert (found.metric, found.title) == ("pgd-50-10-images10", "PGD-50-10 (10 images)")
    assert parse(f"{found.metric}.diff: a > 1").point == "diff"


def test_the_options_ask_for_the_same_again() -> None:
    assert attack(PGD).options == "--attack pgd --norm linf --epsilon 8 --alpha 2 --steps 50 --restarts 10"
    found = attack_of(evaluated(AUTOATTACK, 0.5, test_images=200))
    assert found.options == "--attack autoattack --norm linf --epsilon 8 --images 10"


def test_accuracies_stand_at_best_and_last() -> None:
    run = Run(RunDirectory(Path("a")))
    records = [
        Record(run, {"train.seed": seed}, {}, evaluated={"aa": {"best": 0.5 + seed / 10, "last": 0.4}})
        for seed in (0, 1)
    ]
    group = Group("a", {}, tuple(records))
    assert group.measures("aa")
    assert group.summary("aa", "best") == Summary(2, pytest.approx(55), pytest.approx(7.0710678))
    assert group.values("aa", "diff") == pytest.approx({0: 10, 1: 20})


def test_an_attack_counts_for_the_epoch_whose_weights_were_attacked(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    assert read_record(run).evaluated == {}
    attacked(run, 2, 0.25)
    assert read_record(run).evaluated == {"aa": {"best": 0.25}}
    attacked(run, 3, 0.125)
    record = read_record(run)
    assert [record.accuracy("aa", point) for point in ("best", "last", "diff")] == [25, 12.5, 12.5]
    attacked(run, 3, 0.1, date=2.0, seed=1)
    assert read_record(run).evaluated == {"aa": {"best": 0.25, "last": 0.1}}
    assert read_record(run, at_epoch=2).evaluated == {"aa": {"best": 0.25, "last": 0.25}}


@pytest.mark.parametrize("changes", [{"test_images": 100, "seed": 1}, {"epsilon": 4.0}, {"norm": "l2"}])
def test_other_images_or_another_radius_are_another_quantity(tmp_path: Path, changes: dict[str, object]) -> None:
    run = write_run(tmp_path)
    attacked(run, 2, 0.25, **changes)
    attacked(run, 2, 0.5)
    found = read_record(run).evaluated
    assert len(found) == 2
    assert found["aa"] == {"best": 0.5}


@pytest.mark.parametrize(("epoch", "step"), [(1, 0), (2, 3)])
def test_other_weights_are_in_no_table_and_said_so(tmp_path: Path, epoch: int, step: int) -> None:
    run = write_run(tmp_path)
    attacked(run, epoch, 0.25, PGD, step=step)
    comparison = compare([run])
    assert "pgd-50-10" not in comparison.metrics
    assert (
        f"pgd-dom-re: PGD-50-10 on epoch-000{epoch} (epoch {epoch}), neither best nor last, is in no table: 25.00 % "
        "accuracy in pgd-dom-re-seed0."
    ) in comparison.notes


def test_every_attack_has_a_table_of_its_own(runs: Path) -> None:
    attacked(RunDirectory(runs / "pgd-dom-re-seed0"), 2, 0.3)
    comparison = compared(runs)
    assert comparison.metrics == ["natural", "pgd", "pgd-50-10", "aa"]
    tables = {sheet.title: sheet.rows for sheet in sheets(comparison)}
    assert tables["PGD-50-10 test accuracy, %"] == (
        ("pgd-baseline", "3", "41.00 ± 1.00", "21.00 ± 9.54", "20.00 ± 10.00"),
        ("pgd-dom-re", "3", "47.00 ± 2.83 (n=2)", "32.00 ± 4.24 (n=2)", "15.00 ± 7.07 (n=2)"),
    )
    assert tables["AutoAttack test accuracy, %"] == (
        ("pgd-baseline", "3", "-", "-", "-"),
        ("pgd-dom-re", "3", "30.00 (n=1)", "-", "-"),
    )


def test_runs_that_lack_an_evaluation_are_named(runs: Path) -> None:
    notes = compared(runs).notes
    assert (
        "pgd-dom-re: no pgd-50-10.best or pgd-50-10.last in pgd-dom-re-seed2, which is left out of those means."
    ) in notes
    assert not any(note.startswith("pgd-baseline: no") for note in notes)
    assert any(
        note == "PGD-50-10, after the training: domcli evaluate RUN --checkpoint best|last " + attack(PGD).options
        for note in notes
    )


def test_an_evaluation_like_that_of_training_is_told_apart(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    attacked(run, 3, 0.375, PGD, steps=20, restarts=1)
    titles = [sheet.title for sheet in sheets(compare([run]))]
    assert titles[1:3] == ["PGD-20 test accuracy, %", "PGD-20 (evaluate) test accuracy, %"]


def test_differences_are_tested(runs: Path) -> None:
    (found,) = [one for one in compared(runs).contrasts if (one.metric, one.point) == ("pgd-50-10", "best")]
    expected = stats.ttest_ind([45, 49], [40, 42, 41], equal_var=False)
    assert (found.difference.method, found.difference.n) == ("Welch", (2, 3))
    assert found.difference.value == pytest.approx(6)
    assert found.difference.p == pytest.approx(expected.pvalue)


def test_gates_judge_them(runs: Path) -> None:
    groups = compared(runs).groups
    assert check(parse("pgd-50-10.best: pgd-dom-re > pgd-baseline + 5"), groups).holds
    assert not check(parse("pgd-50-10.last: pgd-dom-re > 33"), groups).holds
    verdict = check(parse("pgd-50.last: pgd-dom-re > 1"), groups)
    assert not verdict.holds
    assert verdict.sentence.endswith("pgd-dom-re has no pgd-50.last, but natural, pgd, pgd-50-10")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_them(runs: Path, form: Format) -> None:
    text = export(compared(runs), form)
    assert "pgd-50-10" in text.lower()
    assert "21.00" in text or "20.999999999999996" in text or "21.0" in text


def test_data_say_what_was_measured(runs: Path) -> None:
    comparison = compared(runs)
    content = json.loads(export(comparison, "json"))
    assert content["metrics"]["pgd"] == {"title": "PGD-20", "evaluate": None}
    assert content["metrics"]["pgd-50-10"] == {"title": "PGD-50-10", "evaluate": attack(PGD).options}
    dom = content["groups"][1]
    assert dom["best"]["pgd-50-10"] == {"mean": pytest.approx(47), "std": pytest.approx(2.828427), "n": 2}
    assert dom["runs"][2]["accuracy"]["pgd-50-10"] == {"best": None, "last": None}
    rows = list(csv.DictReader(io.StringIO(export(comparison, "csv"))))
    (row,) = [row for row in rows if (row["group"], row["metric"]) == ("pgd-dom-re", "pgd-50-10")]
    assert (float(row["last_mean"]), row["last_n"]) == (pytest.approx(32), "2")


def test_errors_of_attacks(runs: Path) -> None:
    (group, _) = compared(runs, error=True).groups
    assert group.summary("pgd-50-10", "best", error=True).mean == pytest.approx(59)
