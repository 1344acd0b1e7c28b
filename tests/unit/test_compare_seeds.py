"""What a comparison says of groups with a single seed, and of the seeds that would separate groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compared import FINISHED, STOPPED, seeds, write_run

from domcli.compare import Comparison, compare, select
from domcli.compare.seeds import more_command
from domcli.origin import Origin
from domcli.presets import resolve


def launched(preset: str = "pgd-dom-re", *overrides: str, **told: Any) -> dict[str, Any]:
    """What environment.json says of how a run was launched."""
    usual = {"command": ("domcli", "run"), "presets": (preset,), "preset": preset, "overrides": overrides}
    return {"origin": Origin(**{**usual, **told}).table()}


def compared(folder: Path) -> Comparison:
    return compare(select(folder, ["*"]))


def command(folder: Path, **environment: Any) -> str | None:
    write_run(folder, environment=environment)
    (group,) = compared(folder).groups
    return more_command(group)


def test_a_single_seed_is_named_with_the_command_for_more(tmp_path: Path) -> None:
    write_run(tmp_path, environment=launched("pgd-dom-re", "train.epochs=3"))
    write_run(tmp_path, "pgd-baseline", 0)
    write_run(tmp_path, "pgd-baseline", 1)
    assert [note for note in compared(tmp_path).notes if "single" in note] == [
        "pgd-dom-re: a single seed, so no standard deviation and no test; run more of it with: "
        "domcli run pgd-dom-re --set train.epochs=3 --seeds 1,2"
    ]


@pytest.mark.parametrize(
    ("preset", "typed", "wanted"),
    [
        ("pgd-dom-re", "pgd-dom-re", "pgd-dom-re"),
        ("pgd-dom-re", "pgd-*", "pgd-dom-re"),
        ("mine", "dir/mine.toml", "dir/mine.toml"),
    ],
)
def test_the_command_keeps_what_makes_the_runs(tmp_path: Path, preset: str, typed: str, wanted: str) -> None:
    tmp_path = tmp_path / "my runs"
    changes = ("train.epochs=3", "dom.threshold=2")
    told = launched(wanted, *changes, presets=(typed,), quick=True, seeds=(0,), runs_dir="my runs")
    found = command(tmp_path, preset=preset, quick=True, **told)
    assert found == (
        f"domcli run {wanted} --quick --set train.epochs=3 --set dom.threshold=2 --seeds 1,2 --runs-dir '{tmp_path}'"
    )


@pytest.mark.parametrize(("there", "name"), [(1, "mine"), (2, "mine-seed2")])
def test_more_seeds_of_a_group_with_a_name_have_it_too(tmp_path: Path, there: int, name: str) -> None:
    for seed in range(there):
        told = launched("pgd-dom-re", name="mine", seeds=(0, 1))
        write_run(tmp_path, seed=seed, name=f"mine-seed{seed}", environment=told)
    (group,) = compared(tmp_path).groups
    seeds = ",".join(map(str, range(there, 3)))
    assert more_command(group) == f"domcli run pgd-dom-re --name {name} --seeds {seeds}"


def test_seeds_that_are_taken_are_not_proposed(tmp_path: Path) -> None:
    told = launched("pgd-dom-re", "train.seed=1")
    write_run(tmp_path, seed=1, environment=told)
    write_run(tmp_path, seed=2, ending=STOPPED, environment=told)
    (group,) = compared(tmp_path).groups
    assert more_command(group) == "domcli run pgd-dom-re --seeds 0,3"


@pytest.mark.parametrize(
    "told",
    [
        {"command_line": None},
        {"command_line": "domcli run pgd-dom-re --set train.epochs=3"},
        {"origin": "domcli run pgd-dom-re"},
        {"origin": {"preset": "pgd-dom-re", "presets": [7], "command": []}},
    ],
)
def test_what_is_not_known_of_a_command_is_not_made_up(tmp_path: Path, told: dict[str, Any]) -> None:
    assert command(tmp_path, **told) is None
    assert any(note.endswith("so no standard deviation and no test.") for note in compared(tmp_path).notes)


def test_an_older_run_is_made_of_its_preset_alone_where_that_gives_its_settings(tmp_path: Path) -> None:
    accuracies = [(0.5, 0.25)] * resolve("pgd-dom-re").train.epochs
    write_run(tmp_path, accuracies=accuracies, environment={"command_line": "domcli run pgd-dom-re --seeds 0"})
    (group,) = compared(tmp_path).groups
    assert more_command(group) == "domcli run pgd-dom-re --seeds 1,2"


def single(folder: Path, *names: str) -> list[str]:
    return [note for note in compare(select(folder, names)).notes if "single" in note]


def test_runs_that_exist_are_to_be_added_not_run_again(tmp_path: Path) -> None:
    for seed in (0, 10, 2):
        write_run(tmp_path, seed=seed, environment=launched())
    write_run(tmp_path, "pgd-baseline", 1)
    write_run(tmp_path, seed=4, changes=["dom.threshold=3"])
    assert single(tmp_path, "pgd-dom-re-seed0") == [
        "pgd-dom-re: a single seed, so no standard deviation and no test; runs of it with other seeds exist, add "
        "them to the comparison: pgd-dom-re-seed2, pgd-dom-re-seed10"
    ]


def test_seeds_that_lack_beside_those_are_to_be_run(tmp_path: Path) -> None:
    for seed, ending in ((0, FINISHED), (1, FINISHED), (2, STOPPED)):
        write_run(tmp_path, seed=seed, ending=ending, environment=launched())
    write_run(tmp_path, seed=0, name="the-same-seed")
    (note,) = single(tmp_path, "pgd-dom-re-seed0")
    assert note.endswith(
        "add them to the comparison: pgd-dom-re-seed1; run more of it with: domcli run pgd-dom-re --seeds 3"
    )


def test_many_single_seeds_are_counted(tmp_path: Path) -> None:
    for threshold in range(5):
        write_run(tmp_path, name=f"t{threshold}", changes=[f"dom.threshold={threshold + 1}"])
    single = [note for note in compared(tmp_path).notes if "single" in note]
    assert len(single) == 4
    assert single[-1] == "2 more groups have a single seed."


def test_more_seeds_are_explained_where_groups_are_tested(tmp_path: Path) -> None:
    seeds(tmp_path, "pgd-dom-re", [0.5, 0.6])
    assert not any(note.startswith("more seeds: ") for note in compared(tmp_path).notes)
    write_run(tmp_path, "pgd-baseline")
    assert not any(note.startswith("more seeds: ") for note in compared(tmp_path).notes)
    seeds(tmp_path, "pgd-augmix", [0.5, 0.55])
    (note,) = [note for note in compared(tmp_path).notes if note.startswith("more seeds: ")]
    assert "take 0 out of the 95 % interval if the difference and the standard deviations stayed" in note
