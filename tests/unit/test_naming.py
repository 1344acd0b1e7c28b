"""What runs and groups of runs are called."""

from __future__ import annotations

import pytest

from domcli.naming import RunName, default_name, group_name


@pytest.mark.parametrize(
    ("run", "given", "repetition"),
    [
        ("mine-seed3", None, "s3"),
        ("mine-seed3-2", None, "s3 #2"),
        ("mine-quick-seed3", None, "s3"),
        ("mine-base-seed3", "mine-base", None),
        ("mine-base", "mine-base", None),
        ("mine", "mine", None),
        ("mine-seed4", "mine-seed4", None),
        ("3", "3", None),
    ],
)
def test_a_name_of_its_own_is_told_from_the_default(run: str, given: str | None, repetition: str | None) -> None:
    name = RunName(run, "mine", 3)
    assert name.given == given
    assert name.repetition("mine") == repetition


def test_a_run_of_a_group_with_a_given_name_is_told_by_its_seed() -> None:
    assert RunName("mine-base-seed3", "mine", 3).repetition("mine-base") == "s3"
    assert RunName("mine-base", "mine", 3).repetition("mine-base") is None


def test_a_name_that_looks_quick_is_given_where_the_run_is_not() -> None:
    assert RunName("mine-quick-seed0", "mine", 0, quick=False).given == "mine-quick"
    assert RunName("mine-quick-seed0", "mine", 0, quick=True).given is None


@pytest.mark.parametrize("preset", ["mine", "mine of ours", ".hidden", "λ=0.5", "a" * 300, "+"])
@pytest.mark.parametrize("quick", [False, True])
def test_every_default_name_is_known_as_one(preset: str, quick: bool) -> None:
    assert RunName(default_name(preset, 7, quick), preset, 7, quick).given is None


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (["mine-base-seed0", "mine-base-seed1"], "mine-base"),
        (["mine-base", "mine-base-seed1"], "mine-base"),
        (["try-0", "try-1"], "try"),
        (["try_0", "mine-seed1"], "mine"),
        (["one", "two"], "mine"),
        (["mine-seed0", "mine-quick-seed1"], "mine"),
        (["warmup-0"], "warmup-0"),
    ],
)
def test_a_group_has_the_name_that_all_of_its_runs_were_given(runs: list[str], expected: str) -> None:
    assert group_name([RunName(run, "mine", seed) for seed, run in enumerate(runs)]) == expected


def test_without_a_preset_in_common_the_first_run_stands_for_all() -> None:
    assert group_name([RunName("a", "one", 0), RunName("b", None, 1)]) == "a and 1 more"
