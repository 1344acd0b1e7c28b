"""Groups of seeds, what counts in them, and every awkward case in which something does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
import tomli_w
from compared import FAILED, STOPPED, epoch_ends, seeds, write_events, write_run
from samples import epoch_end, started

from domcli.compare import Comparison, compare, select
from domcli.compare.errors import ComparisonError
from domcli.compare.records import read_record
from domcli.compare.statistics import Summary
from domcli.events import AnyEvent, Finished


def compared(folder: Path, *patterns: str, at_epoch: int | None = None, error: bool = False) -> Comparison:
    return compare(select(folder, patterns or ["*"]), at_epoch=at_epoch, error=error)


def names(comparison: Comparison) -> list[str]:
    return [group.name for group in comparison.groups]


def reasons(comparison: Comparison) -> dict[str, str]:
    return {one.record.name: one.reason for _, one in comparison.left_out}


def note(comparison: Comparison, *words: str) -> bool:
    """Whether one note has all of these words in it."""
    return any(all(word in text for word in words) for text in comparison.notes)


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6, 0.7])
    found = compared(tmp_path)
    assert names(found) == ["pgd-dom-re"]
    (group,) = found.groups
    assert [record.seed for record in group.records] == [0, 1, 2]
    assert group.summary("pgd", "best") == Summary(3, pytest.approx(60), pytest.approx(10))
    assert group.summary("pgd", "last") == Summary(3, pytest.approx(50), pytest.approx(10))
    assert group.summary("pgd", "diff") == Summary(3, pytest.approx(10), 0.0)
    assert group.summary("natural", "best") == Summary(3, pytest.approx(80), 0.0)
    assert found.metrics == ["natural", "pgd"]
    assert found.differing == ()


def test_the_difference_is_taken_in_each_run_at_its_own_best_epoch(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, accuracies=[(0.4, 0.50), (0.6, 0.40), (0.7, 0.30)])
    write_run(tmp_path, seed=1, accuracies=[(0.5, 0.20), (0.8, 0.60), (0.9, 0.55)])
    (group,) = compared(tmp_path).groups
    assert group.values("natural", "best") == pytest.approx({0: 40, 1: 80})
    assert group.values("pgd", "diff") == pytest.approx({0: 20, 1: 5})
    assert group.of_records(lambda record: record.best and record.best.epoch).mean == 1.5


def test_errors_are_what_accuracies_leave(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6])
    (group,) = compared(tmp_path).groups
    assert group.values("pgd", "best", error=True) == pytest.approx({0: 50, 1: 40})
    assert group.values("pgd", "diff", error=True) == pytest.approx({0: -10, 1: -10})
    assert group.summary("pgd", "last", error=True).std == pytest.approx(group.summary("pgd", "last").std)


def test_what_changes_no_result_does_not_part_a_group(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1, changes=["data.root=/elsewhere", "checkpoint.every=0"])
    write_run(tmp_path, seed=2, changes=["memorization.record=true", "evaluation.train_attack=true"])
    assert [group.n for group in compared(tmp_path).groups] == [3]


@pytest.mark.parametrize("change", ["evaluation.every=2", "train.precision='float32'", "dom.warmup=0.25"])
def test_what_may_change_a_result_does(tmp_path: Path, change: str) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1, changes=[change])
    found = compared(tmp_path)
    assert [group.n for group in found.groups] == [1, 1]
    assert found.differing == (change.partition("=")[0],)


def test_the_folder_of_own_images_says_which_images_they_are(tmp_path: Path) -> None:
    for seed, root in enumerate(("one", "two")):
        write_run(tmp_path, seed=seed, changes=["data.dataset=imagefolder", f"data.root={root}"])
    found = compared(tmp_path)
    assert [group.n for group in found.groups] == [1, 1]
    assert found.differing == ("data.root",)


def test_a_setting_that_an_older_version_did_not_know_has_its_default(tmp_path: Path) -> None:
    old = write_run(tmp_path, seed=0)
    tables = old.read_settings()
    del tables["dom"]["warmup"]
    old.settings.write_text(tomli_w.dumps(tables))
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=2, changes=["dom.warmup=0.25"])
    assert [group.n for group in compared(tmp_path).groups] == [2, 1]


def test_groups_of_one_preset_are_told_apart_by_their_settings(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6])
    seeds(tmp_path, "pgd-dom-re", [0.5], changes=["dom.threshold=1.0"])
    seeds(tmp_path, "pgd-dom-re", [0.5], changes=["dom.threshold=1.0", "data.train_images=100"])
    seeds(tmp_path, "pgd-baseline", [0.5])
    assert sorted(names(compared(tmp_path))) == [
        "pgd-baseline",
        "pgd-dom-re (dom.threshold=1, data.train_images=100)",
        "pgd-dom-re (dom.threshold=1, data.train_images=not set)",
        "pgd-dom-re (dom.threshold=1.5, data.train_images=not set)",
    ]


def test_a_quick_group_is_called_so_beside_a_full_one_or_alone(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-dom-re", [0.5], changes=["model.width=16"], quick=True)
    assert names(compared(tmp_path)) == ["pgd-dom-re (quick)"]
    seeds(tmp_path, "pgd-dom-re", [0.5])
    assert sorted(names(compared(tmp_path))) == ["pgd-dom-re", "pgd-dom-re (quick)"]
    seeds(tmp_path, "pgd-dom-re", [0.5], changes=["model.width=8"], quick=True)
    assert sorted(names(compared(tmp_path))) == [
        "pgd-dom-re",
        "pgd-dom-re (quick, model.width=16)",
        "pgd-dom-re (quick, model.width=8)",
    ]


def test_names_are_there_once_even_where_many_settings_differ(tmp_path: Path) -> None:
    common = ["train.max_lr=0.2", "model.width=16", "train.momentum=0.5", "dom.threshold=1.0"]
    write_run(tmp_path)
    write_run(tmp_path, changes=common)
    write_run(tmp_path, changes=[*common[:-1], "dom.threshold=2.0"])
    found = names(compared(tmp_path))
    assert len(set(found)) == 3
    assert sum("#2" in name for name in found) == 1


def test_without_one_preset_the_runs_give_the_name(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, seed=seed, name=f"mine-seed{seed}", environment={"preset": f"file{seed}"})
    assert names(compared(tmp_path)) == ["mine"]
    write_run(tmp_path, seed=2, name="yours", environment={"preset": None})
    assert names(compared(tmp_path, "mine-seed0", "*")) == ["mine-seed0 and 2 more"]


def test_the_name_that_a_person_gave_is_that_of_the_group(tmp_path: Path) -> None:
    for seed in (0, 1):
        of = {"preset": "mine", "quick": True}
        write_run(tmp_path, seed=seed, name=f"mine-base-seed{seed}", changes=["dom.operate=none"], environment=of)
        write_run(tmp_path, seed=seed, environment=of)
    found = compared(tmp_path)
    assert sorted(names(found)) == ["mine (quick)", "mine-base"]
    (default, named) = sorted(found.groups, key=lambda group: group.name)
    assert (default.stem, named.stem) == ("mine", "mine-base")


def test_groups_of_one_given_name_are_told_apart_by_their_settings(tmp_path: Path) -> None:
    write_run(tmp_path, name="mine-seed0")
    write_run(tmp_path, name="mine", changes=["dom.threshold=1.0"])
    assert sorted(names(compared(tmp_path))) == ["mine (dom.threshold=1)", "mine (dom.threshold=1.5)"]


def test_runs_of_one_setting_with_names_of_their_own_are_called_by_the_preset(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, name="first")
    write_run(tmp_path, seed=1, name="second")
    write_run(tmp_path, seed=2)
    assert names(compared(tmp_path)) == ["pgd-dom-re"]


def test_what_quick_shrank_is_not_called_like_the_paper_even_by_a_name(tmp_path: Path) -> None:
    write_run(tmp_path, name="pgd-dom-re", environment={"quick": True})
    assert names(compared(tmp_path)) == ["pgd-dom-re (quick)"]


def test_runs_named_as_the_official_implementation_does_lose_their_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, seed=seed, name=f"pgd_RE_{seed}", environment={"preset": f"pgd_RE_{seed}"})
    assert names(compared(tmp_path)) == ["pgd_RE"]


def test_a_single_run_has_no_deviation(tmp_path: Path) -> None:
    write_run(tmp_path)
    (group,) = compared(tmp_path).groups
    assert group.summary("pgd", "best") == Summary(1, 50.0, None)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (FAILED, "failed after 3 of 5 epochs: training diverged"),
        (STOPPED, "stopped after 3 of 5 epochs"),
        (None, "lost after 3 of 5 epochs"),
        (Finished(seconds=1.0), "finished after 3 epochs, where its settings say 5"),
    ],
)
def test_a_seed_that_did_not_finish_is_named_and_not_averaged(
    tmp_path: Path, ending: AnyEvent | None, reason: str
) -> None:
    full = [(0.5, 0.2)] * 5
    write_run(tmp_path, seed=0, accuracies=full)
    write_run(tmp_path, seed=1, accuracies=[(0.9, 0.9)] * 3, epochs=5, ending=ending)
    found = compared(tmp_path)
    assert [(group.n, group.summary("pgd", "last").mean) for group in found.groups] == [(1, pytest.approx(20))]
    assert reasons(found) == {"pgd-dom-re-seed1": reason}
    assert note(found, "1 run does not count")


def test_a_group_in_which_no_run_counts_is_still_listed(tmp_path: Path) -> None:
    write_run(tmp_path, ending=STOPPED)
    found = compared(tmp_path)
    assert [(group.name, group.n) for group in found.groups] == [("pgd-dom-re", 0)]
    assert found.groups[0].summary("pgd", "best") == Summary(0, None, None)
    assert found.metrics == []


def test_an_accuracy_that_is_not_a_number_is_a_damaged_record(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    broken = write_run(tmp_path, seed=1)
    ends = epoch_ends([(0.5, 0.2), (float("nan"), 0.5), (0.5, 0.4)])
    write_events(broken, [started(epochs=3), *ends], Finished(seconds=1.0))
    found = compared(tmp_path)
    assert [group.n for group in found.groups] == [1]
    (reason,) = reasons(found).values()
    assert f"{broken.events}, line 3" in reason


def test_a_missing_pgd_accuracy_is_left_out_of_its_mean_alone_and_named(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1, accuracies=[(0.5, 0.25), (0.75, 0.5), (0.75, float("nan"))])
    found = compared(tmp_path)
    (group,) = found.groups
    assert group.n == 2
    assert group.summary("pgd", "last") == Summary(1, 37.5, None)
    assert group.summary("pgd", "best").n == 2
    assert group.summary("pgd", "diff").n == 1
    assert group.summary("natural", "last").n == 2
    assert note(found, "no pgd.last in pgd-dom-re-seed1")


def test_best_is_not_chosen_by_another_quantity_where_an_accuracy_is_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    ends = epoch_ends([(0.5, 0.25), (0.9, None), (0.7, 0.5), (0.8, 0.5)])
    marked = [msgspec.structs.replace(end, best=end.epoch <= 2) for end in ends[:3]]
    write_events(run, [started(epochs=3), *marked], Finished(seconds=1.0))
    found = compared(tmp_path)
    assert found.groups[0].values("natural", "best") == pytest.approx({0: 70})
    assert note(found, "no pgd accuracy in epoch 2;")


def test_of_equal_epochs_the_first_is_best(tmp_path: Path) -> None:
    write_run(tmp_path, accuracies=[(0.5, 0.2), (0.6, 0.4), (0.7, 0.4)])
    best = compared(tmp_path).groups[0].records[0].best
    assert best is not None
    assert best.epoch == 2


def test_a_last_epoch_without_evaluation_is_not_replaced_by_an_earlier_one(tmp_path: Path) -> None:
    run = write_run(tmp_path, seed=0)
    ends = [*epoch_ends([(0.5, 0.25), (0.75, 0.5)]), epoch_end(3, tested=False)]
    write_events(run, [started(epochs=3), *ends], Finished(seconds=1.0))
    found = compared(tmp_path)
    assert found.groups[0].values("pgd", "last") == {}
    assert note(found, "no pgd.last in pgd-dom-re-seed0")


def test_a_run_that_never_got_anything_right_has_no_best_epoch(tmp_path: Path) -> None:
    write_run(tmp_path, accuracies=[(0.5, 0.0)] * 3)
    found = compared(tmp_path)
    assert found.groups[0].values("pgd", "best") == {}
    assert found.groups[0].values("pgd", "last") == {0: 0.0}
    assert note(found, "no pgd.best in pgd-dom-re-seed0")


def test_a_missing_epoch_is_found(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    first, _, third = epoch_ends([(0.5, 0.25), (0.75, 0.5), (0.75, 0.4)])
    write_events(run, [started(epochs=3), first, third], Finished(seconds=1.0))
    assert reasons(compared(tmp_path)) == {"pgd-dom-re-seed0": "epoch 2 is missing from its record"}


def test_unreadable_settings_belong_to_no_group(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    broken = write_run(tmp_path, seed=1)
    broken.settings.write_text("[data")
    found = compared(tmp_path)
    assert [group.n for group in found.groups] == [1]
    ((group, one),) = found.left_out
    assert group is None
    assert "settings.toml" in one.reason


def test_of_two_runs_with_a_seed_the_later_counts_and_the_other_is_named(tmp_path: Path) -> None:
    later = write_run(tmp_path, name="a-later", accuracies=[(0.5, 0.75)], environment={"created": 5e9})
    write_run(tmp_path, name="z-earlier", accuracies=[(0.5, 0.25)], environment={"created": 4e9})
    found = compared(tmp_path, "z-earlier", "a-later")
    assert found.groups[0].values("pgd", "best") == {0: 75.0}
    assert reasons(found) == {"z-earlier": "has the seed of a-later, 0, which was created later and counts instead"}
    shutil.rmtree(later.path)
    assert compared(tmp_path).groups[0].values("pgd", "best") == {0: 25.0}


def test_an_unfinished_rerun_does_not_replace_a_finished_run(tmp_path: Path) -> None:
    write_run(tmp_path, name="first", environment={"created": 1.0})
    write_run(tmp_path, name="again", environment={"created": 2.0}, ending=STOPPED)
    found = compared(tmp_path)
    assert [record.name for record in found.groups[0].records] == ["first"]
    assert list(reasons(found)) == ["again"]


def test_after_an_epoch_the_unfinished_count_and_best_is_no_later(tmp_path: Path) -> None:
    long = [(0.5, 0.30), (0.6, 0.20), (0.7, 0.60), (0.8, 0.70)]
    write_run(tmp_path, seed=0, accuracies=long)
    write_run(tmp_path, seed=1, accuracies=long[:3], epochs=4, ending=STOPPED)
    write_run(tmp_path, seed=2, accuracies=long[:1], epochs=4, ending=FAILED)
    found = compared(tmp_path, at_epoch=2)
    (group,) = found.groups
    assert group.values("pgd", "best") == pytest.approx({0: 30, 1: 30})
    assert group.values("pgd", "last") == pytest.approx({0: 20, 1: 20})
    assert group.of_records(lambda record: record.seconds).mean == 8.0
    assert reasons(found) == {"pgd-dom-re-seed2": "failed after 1 of 4 epochs, and 2 are asked for"}
    assert note(found, "last is epoch 2")


def test_training_time_is_what_the_run_says_at_its_end(tmp_path: Path) -> None:
    write_run(tmp_path, ending=Finished(seconds=99.0))
    assert compared(tmp_path).groups[0].records[0].seconds == 99.0


def test_groups_of_different_length_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "pgd-dom-re", accuracies=[(0.5, 0.2)] * 4)
    write_run(tmp_path, "pgd-baseline", accuracies=[(0.5, 0.2)] * 2)
    found = compared(tmp_path)
    assert note(found, "4 in pgd-dom-re", "2 in pgd-baseline", "--at-epoch 2")
    assert not note(compared(tmp_path, at_epoch=2), "--at-epoch")


def test_different_attacks_and_images_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "pgd-dom-re")
    write_run(tmp_path, "pgd-baseline", changes=["evaluation.steps=10", "data.dataset=svhn"])
    found = compared(tmp_path)
    assert note(found, "different attacks", "evaluation.steps")
    assert note(found, "different test images", "data.dataset")
    assert found.title("pgd") == "PGD"


def test_what_a_group_does_not_share_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    other = write_run(tmp_path, seed=1, environment={"domcli": "0.2.0"})
    begun = msgspec.structs.replace(started(epochs=3), precision="bfloat16")
    write_events(other, [begun, *epoch_ends([(0.5, 0.2)] * 3)], Finished(seconds=1.0))
    found = compared(tmp_path)
    assert note(found, "precision", "float32 (pgd-dom-re-seed0)", "bfloat16 (pgd-dom-re-seed1)")
    assert note(found, "domcli version", "0.2.0 (pgd-dom-re-seed1)")
    assert not note(found, "device")


@pytest.mark.parametrize(
    ("presets", "words"),
    [
        (["pgd-dom-re"], "highest PGD test accuracy of each"),
        (["natural-dom-re"], "highest natural test accuracy of each"),
        (["pgd-dom-re", "natural-dom-re"], "highest PGD test accuracy (natural where no attack is evaluated)"),
    ],
)
def test_every_comparison_says_how_best_is_chosen(tmp_path: Path, presets: list[str], words: str) -> None:
    for preset in presets:
        pgd = None if preset.startswith("natural") else 0.3
        write_run(tmp_path, preset, accuracies=[(0.5, pgd)])
    found = compared(tmp_path)
    assert words in found.notes[0]


def test_natural_training_chooses_best_by_natural_accuracy(tmp_path: Path) -> None:
    write_run(tmp_path, "natural-dom-re", accuracies=[(0.5, None), (0.9, None), (0.8, None)])
    (group,) = compared(tmp_path).groups
    assert group.values("natural", "diff") == pytest.approx({0: 10})
    assert not group.measures("pgd")


def test_a_run_without_events_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    run.events.write_bytes(b"")
    record = read_record(run)
    assert record.shortfall is not None
    assert record.shortfall.endswith("after 0 of 3 epochs")
    assert (record.best, record.last) == (None, None)


def test_the_paper_is_about_the_end_of_training(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    with pytest.raises(ComparisonError, match="--at-epoch"):
        compare([run], at_epoch=2, paper=True)
