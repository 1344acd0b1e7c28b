"""domcli's own processes import domcli and what is installed, never what lies where they begin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import domcli
from domcli import children

HOME = Path(domcli.__file__).resolve().parents[1]
TRAPS = ("random.py", "logging.py", "msgspec.py", "psutil.py", "domcli/__init__.py", "sitecustomize.py", "runpy.py")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules of the names that are imported, in which this process is."""
    for name in TRAPS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("open('executed', 'w').close()\nraise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a module of domcli in the folder: it looks for a queue, and ends as there is none."""
    command = [*children.command("domcli.launch.supervisor"), str(folder / "runs")]
    return subprocess.run(
        command, cwd=folder, env=children.environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("given", [None, "", ":", f":{HOME}", f"{HOME}:", str(HOME)])
@pytest.mark.parametrize("first", ["", "the folder"])
def test_nothing_of_the_current_folder_is_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, first: str
) -> None:
    """As `python -m domcli` has it first on its path, and with a PYTHONPATH whose empty parts mean that folder."""
    if given is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", given)
    monkeypatch.setattr(sys, "path", [str(folder) if first else "", *sys.path])
    done = begin(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (folder / "executed").exists()


def test_a_relative_pythonpath_means_the_same_folder_elsewhere(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("PYTHONPATH", os.path.relpath(HOME))
    monkeypatch.chdir(folder)
    found = children.environment()
    assert found["PYTHONPATH"].split(os.pathsep)[0] == str(HOME)
    done = subprocess.run(
        [*children.command("domcli"), "--version"],
        cwd=elsewhere,
        env=found,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_modules_of_a_checkout_find_each_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where domcli was found in a folder that Python would not look into by itself."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if os.path.realpath(path) != str(HOME)])
    assert children.environment()["PYTHONPATH"] == str(HOME)
    assert begin(folder).returncode == 0


def test_what_is_called_is_told_its_arguments(folder: Path) -> None:
    done = subprocess.run(
        [*children.command("domcli"), "--version"],
        env=children.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, domcli.__version__ in done.stdout) == (0, True)
