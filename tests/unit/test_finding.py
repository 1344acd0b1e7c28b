"""Runs found by name, by the beginning of one, by glob or path; those of a folder, and those in the queue."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_directories import TABLES, make, ticket

from domcli import finding, rundir
from domcli.errors import RunDirectoryError
from domcli.finding import find, list_runs, queue_places, select
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory, create


def test_runs_are_listed_oldest_first(tmp_path: Path) -> None:
    make(tmp_path, "b", age=10)
    make(tmp_path, "a", age=20)
    make(tmp_path, "d", age=30)
    make(tmp_path, "c", age=30)
    assert [run.name for run in list_runs(tmp_path)] == ["c", "d", "a", "b"]


def test_only_runs_are_listed(tmp_path: Path) -> None:
    make(tmp_path, "a")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / ".new-abc").mkdir()
    (tmp_path / ".new-abc" / "settings.toml").touch()
    assert [run.name for run in list_runs(tmp_path)] == ["a"]


def test_a_run_that_lost_its_settings_is_still_listed(tmp_path: Path) -> None:
    make(tmp_path, "a").settings.unlink()
    assert [run.name for run in list_runs(tmp_path)] == ["a"]


def test_without_a_folder_there_are_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "runs") == []


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(RunDirectoryError, match=r"cannot list .*runs: Not a directory"):
        list_runs(tmp_path / "runs")


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("pgd-dom-re", "pgd-dom-re"), ("pgd-dom-re-2", "pgd-dom-re-2"), ("n", "natural"), ("natural", "natural")],
)
def test_a_run_is_found_by_name_or_unique_beginning(tmp_path: Path, wanted: str, name: str) -> None:
    for each in ("pgd-dom-re", "pgd-dom-re-2", "natural"):
        make(tmp_path, each)
    assert find(tmp_path, wanted).path == tmp_path / name


def test_a_run_is_found_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path / "elsewhere", "a")
    assert find(tmp_path / "runs", str(run.path)).path == run.path
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find(tmp_path / "runs", "a").path == run.path
    assert find(tmp_path / "runs", "./a/").path == run.path


def test_a_name_in_the_runs_folder_comes_before_a_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = make(tmp_path / "runs", "a")
    make(tmp_path / "here", "a")
    monkeypatch.chdir(tmp_path / "here")
    assert find(tmp_path / "runs", "a").path == wanted.path


def test_an_ambiguous_beginning_names_the_runs(tmp_path: Path) -> None:
    make(tmp_path, "pgd-0", age=1)
    make(tmp_path, "pgd-1")
    with pytest.raises(RunDirectoryError, match="'pgd' fits several runs: pgd-0, pgd-1; give more of the name"):
        find(tmp_path, "pgd")


def test_an_unknown_name_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"no run named 'x' in .*; there are no runs"):
        find(tmp_path / "runs", "x")
    for number in range(7):
        make(tmp_path, f"run-{number}", age=7 - number)
    with pytest.raises(RunDirectoryError, match="it has run-0, run-1, run-2, run-3, run-4 and 2 more"):
        find(tmp_path, "x")


@given(st.text(max_size=300))
def test_whatever_is_looked_for_is_found_or_not(wanted: str) -> None:
    with pytest.raises(RunDirectoryError):
        find(Path("/nonexistent"), f"/nonexistent/{wanted}")


def test_a_name_too_long_for_a_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no run named"):
        find(tmp_path, "a" * 5000)


def test_an_empty_name_means_no_run(tmp_path: Path) -> None:
    rundir.create(tmp_path, "only", {}, {})
    with pytest.raises(RunDirectoryError, match="name of the run is empty"):
        finding.find(tmp_path, "")


def names(runs_dir: Path, *patterns: str) -> list[str]:
    return [run.name for run in select(runs_dir, patterns)]


@pytest.fixture
def several(tmp_path: Path) -> Path:
    for age, name in enumerate(("pgd-10", "pgd-1", "natural", "fgsm-2")):
        make(tmp_path / "runs", name, age=age)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["pgd-1"], ["pgd-1"]),
        (["nat"], ["natural"]),
        (["pgd-*"], ["pgd-1", "pgd-10"]),
        (["*-[12]"], ["fgsm-2", "pgd-1"]),
        (["pgd-1?"], ["pgd-10"]),
        (["natural", "*"], ["natural", "fgsm-2", "pgd-1", "pgd-10"]),
        (["pgd-10", "nat", "pgd-1*", "natural"], ["pgd-10", "natural", "pgd-1"]),
        ([], []),
    ],
)
def test_runs_are_selected_in_the_order_of_the_patterns_and_once(
    several: Path, patterns: list[str], expected: list[str]
) -> None:
    assert names(several, *patterns) == expected


def test_runs_are_selected_by_path_and_by_globs_of_paths(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(several, str(several / "pgd-1"), "pgd-1") == ["pgd-1"]
    assert names(several.parent / "other", f"{several}/pgd-*") == ["pgd-1", "pgd-10"]
    monkeypatch.chdir(several.parent)
    assert names(Path("runs"), "runs/natural/", "natural", "runs/n*/") == ["natural"]


def test_a_name_with_the_characters_of_a_glob_is_a_name(several: Path) -> None:
    (several / "a[1]").mkdir()
    (several / "a[1]" / "settings.toml").touch()
    make(several, "a1")
    assert names(several, "a[1]") == ["a[1]"]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("pgd", r"'pgd' fits several runs: pgd-1, pgd-10; give more of the name, or 'pgd\*' for all of them"),
        ("sgd", "no run named 'sgd' in .*; it has fgsm-2, natural, pgd-1, pgd-10"),
        ("sgd-*", r"no run in .*runs fits 'sgd-\*'; it has fgsm-2, natural, pgd-1, pgd-10"),
        ("absent/*", r"no run in absent fits 'absent/\*'; there are no runs"),
        ("", "name of the run is empty"),
    ],
)
def test_a_pattern_that_selects_nothing_clear_is_an_error(several: Path, pattern: str, problem: str) -> None:
    with pytest.raises(RunDirectoryError, match=problem):
        select(several, ["natural", pattern])


def test_places_count_what_waits_in_the_order_of_the_queue(tmp_path: Path) -> None:
    tickets = {
        "launched": ticket("1", queued=1.0),
        "second-b": ticket("2", queued=3.0, place=1),
        "second-a": ticket("3", queued=3.0, place=0),
        "first": ticket("4", queued=2.0),
        "of-nobody-known": ticket("5", queued=1.0, owner=os.geteuid() + 1),
        "of-another-machine": ticket("6", queued=9.0, host="there"),
    }
    for name, one in tickets.items():
        create(tmp_path, name, TABLES, {}, one)
    identity = ProcessIdentity(pid=42, start_time=1.0, host="here", cwd="/", ticket="1")
    RunDirectory(tmp_path / "launched").write_process(identity)
    expected = {"first": 1, "second-a": 2, "second-b": 3, "of-another-machine": 1}
    assert queue_places(tmp_path) == expected
