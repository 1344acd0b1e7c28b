from __future__ import annotations

import os
from pathlib import Path

import pytest

from domcli.compare import select
from domcli.errors import RunDirectoryError
from domcli.rundir import create

NAMES = ("pgd-dom-re-seed1", "pgd-dom-re-seed10", "pgd-baseline-seed1", "natural-dom-re-seed1")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in NAMES:
        create(tmp_path / "runs", name, {}, {})
    return tmp_path / "runs"


def chosen(runs: Path, *patterns: str) -> list[str]:
    return sorted(run.name for run in select(runs, patterns))


def test_a_name_is_one_run_even_where_it_begins_others(runs: Path) -> None:
    assert chosen(runs, "pgd-dom-re-seed1") == ["pgd-dom-re-seed1"]


def test_the_beginning_of_names_is_all_of_them(runs: Path) -> None:
    assert chosen(runs, "pgd-dom") == ["pgd-dom-re-seed1", "pgd-dom-re-seed10"]


def test_a_glob_is_over_whole_names(runs: Path) -> None:
    assert chosen(runs, "*-seed1") == ["natural-dom-re-seed1", "pgd-baseline-seed1", "pgd-dom-re-seed1"]
    assert chosen(runs, "pgd-[b]*") == ["pgd-baseline-seed1"]


def test_paths_are_runs_from_anywhere(runs: Path, tmp_path: Path) -> None:
    elsewhere = create(tmp_path / "other", "copied", {}, {})
    assert select(runs, [str(elsewhere.path)]) == [elsewhere]
    assert chosen(runs, str(tmp_path / "other")) == ["copied"]
    assert chosen(runs, str(tmp_path / "*" / "*-seed10")) == ["pgd-dom-re-seed10"]
    assert chosen(tmp_path / "none", str(tmp_path / "runs" / "natural*")) == ["natural-dom-re-seed1"]


def test_each_run_is_there_once_in_the_order_of_the_patterns_then_of_the_names(runs: Path, tmp_path: Path) -> None:
    for age, name in enumerate(sorted(NAMES)):  # the first by name is the youngest
        os.utime(runs / name / "settings.toml", (1e9 - age, 1e9 - age))
    found = [run.name for run in select(runs, ["pgd-dom", "pgd-baseline", str(runs / "pgd-baseline-seed1"), "*"])]
    assert found == ["pgd-dom-re-seed1", "pgd-dom-re-seed10", "pgd-baseline-seed1", "natural-dom-re-seed1"]
    assert [run.name for run in select(tmp_path, [str(runs)])] == sorted(NAMES)


def test_paths_are_absolute(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    assert [run.path for run in select(Path("runs"), ["natural"])] == [runs / "natural-dom-re-seed1"]


@pytest.mark.parametrize("pattern", ["fgsm", "*-seed7", "seed1", "x" * 5000, "/nowhere/at/all", "a**b/*", "runs/*"])
def test_what_fits_nothing_is_an_error_with_what_there_is(
    runs: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    with pytest.raises(RunDirectoryError, match=r"no run fits .*natural-dom-re-seed1"):
        select(runs, ["pgd", pattern])


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"there are no runs in .*--runs-dir"):
        select(tmp_path, ["pgd"])


def test_an_empty_name_says_so(runs: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is empty"):
        select(runs, [""])
