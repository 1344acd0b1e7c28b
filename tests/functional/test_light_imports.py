"""Commands that only look load neither torch nor textual nor the settings' models.

Pydantic itself may be there: recent versions of Typer check arguments with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import domcli

HEAVY = {"torch", "torchvision", "textual", "numpy", "domcli.settings"}
PROBE = """
import sys
from domcli.cli.main import main
try:
    main()
finally:
    sys.stderr.write(chr(10) + " ".join(sys.modules))
"""


def loaded(folder: Path, *arguments: str, **variables: str) -> tuple[set[str], str]:
    """Return the modules that a command has loaded when it ends, and its standard output."""
    environment = {**os.environ, "PYTHONPATH": str(Path(domcli.__file__).parent.parent), **variables}
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return set(done.stderr.splitlines()[-1].split()), done.stdout


@pytest.mark.parametrize("arguments", [["--help"], [], ["presets"], ["run", "--help"]])
def test_help_and_presets_load_no_models(tmp_path, arguments):
    modules, out = loaded(tmp_path, *arguments)
    assert out
    assert "domcli.cli.main" in modules
    assert modules.isdisjoint({*HEAVY, "msgspec", "rich.console"})


@pytest.mark.parametrize("options", [(), ("--jobs-per-gpu", "2")])
def test_queueing_a_run_loads_no_torch(tmp_path, options):
    arguments = ("run", "natural-dom-re", "--quick", "--device", "cpu", "--dry-run", "--json", *options)
    modules, out = loaded(tmp_path, *arguments)
    assert json.loads(out)["slots"] == (2 if options else 1)
    assert modules.isdisjoint({"torch", "torchvision", "textual", "numpy"})


def test_runs_loads_no_models(tmp_path):
    modules, out = loaded(tmp_path, "runs", "--json")
    assert json.loads(out) == []
    assert "domcli.runs" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("domcli run pgd-dom", "pgd-dom-re"), ("domcli show my", "my-run"), ("domcli resume my", "my-run")],
)
def test_names_complete_without_models(tmp_path, words, expected):
    (tmp_path / "runs" / "my-run").mkdir(parents=True)
    (tmp_path / "runs" / "my-run" / "settings.toml").touch()
    variables = {"_DOMCLI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    modules, out = loaded(tmp_path, **variables)
    assert expected in out.split()
    assert modules.isdisjoint(HEAVY)


def test_usage_errors_exit_with_2(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(domcli.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "domcli", "run", "--nonsense"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--nonsense" in done.stderr
    assert "Traceback" not in done.stderr
