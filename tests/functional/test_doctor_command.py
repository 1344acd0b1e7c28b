"""`domcli doctor`: lines and JSON, marks and colours, exit codes; once with the real torch."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from domcli import devices, rundir
from domcli.checks import pytorch
from domcli.settings import Settings

GROUPS = ["Python", "GPUs", "CPU and memory", "data sets", "runs directory", "queue", "terminal", "PyTorch"]
FOUND = {
    "torch": {"version": "99.0", "cuda": None, "import_seconds": 1.0},
    "torchvision": {"version": "99.0"},
    "cuda": {"devices": 0, "warnings": []},
}
TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_GB.UTF-8", "LC_ALL": "en_GB.UTF-8"}


@pytest.fixture
def torch_says(monkeypatch: pytest.MonkeyPatch):
    """Put a process that says these things in place of the one that imports torch; there is no GPU."""

    def say(*messages: dict[str, object]) -> None:
        lines = "\n".join(pytorch.MARK + json.dumps(message) for message in messages)
        command = (sys.executable, "-c", f"print({lines!r})")
        monkeypatch.setattr(pytorch, "Probe", functools.partial(pytorch.Probe, command=command))

    monkeypatch.setattr(devices, "gpus", list)
    say(*({"stage": stage, "found": found} for stage, found in FOUND.items()))
    return say


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch):
    """Describe the terminal: these variables and no others of their kind."""

    def describe(**wanted: str) -> None:
        for name in ("TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL", "LC_CTYPE", "TMUX", "STY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in wanted.items():
            monkeypatch.setenv(name, value)

    describe(**TERMINAL)
    return describe


@pytest.mark.usefixtures("torch_says", "variables")
def test_groups_marks_and_remedies(cli, tmp_path):
    done = cli("doctor", "--data-root", "images")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in lines[:-2] if not line.startswith(" ")] == GROUPS
    missing = next(number for number, line in enumerate(lines) if line.startswith("  ! cifar10 "))
    assert lines[missing].endswith("not in images")
    assert lines[missing + 1].strip().startswith("→ the first run downloads it (170 MB); ")
    assert lines[missing + 1].endswith(f"put cifar-10-python.tar.gz in {tmp_path}/images")
    assert "  ✓ torch        99.0, built without CUDA, imported in 1.0 s" in lines
    assert lines[-1].startswith("no problems, ")
    assert "\033" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("variables")
def test_a_problem_is_the_exit_code(cli, torch_says):
    torch_says({"stage": "torch", "error": "ModuleNotFoundError: No module named 'torch'"})
    done = cli("doctor")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert f"  ✗ torch  not installed for {sys.executable}" in lines
    assert lines[-1].startswith("1 problem, ")
    told = cli("doctor", "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["problems"] == 1


@pytest.mark.usefixtures("torch_says")
def test_plain_marks_without_utf8(cli, variables):
    variables(LC_ALL="C", TERM="dumb")
    done = cli("doctor")
    assert done.stdout.isascii()
    assert "  ok   torch        99.0" in done.stdout
    assert "  warn cifar10 " in done.stdout
    assert "-> the first run downloads it" in done.stdout


@pytest.mark.usefixtures("torch_says")
@pytest.mark.parametrize(
    ("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
def test_colours_on_a_terminal(cli, variables, monkeypatch, more, coloured):
    variables(**TERMINAL | more)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ("\033[32m✓\033[0m torch " in cli("doctor").stdout) is coloured


@pytest.mark.usefixtures("torch_says", "variables")
def test_what_breaks_unexpectedly_is_one_problem(cli, monkeypatch):
    def break_down() -> None:
        raise RuntimeError("the driver has gone mad")

    monkeypatch.setattr(devices, "gpus", break_down)
    done = cli("doctor")
    assert done.returncode == 1
    assert "✗ GPUs  could not be checked: RuntimeError: the driver has gone mad" in done.stdout
    assert [line for line in done.stdout.splitlines()[:-2] if not line.startswith(" ")] == GROUPS
    assert done.stdout.splitlines()[-1].startswith("1 problem, ")


@pytest.mark.usefixtures("torch_says", "variables")
def test_a_process_that_cannot_be_started(cli, monkeypatch):
    monkeypatch.setattr(pytorch, "Probe", functools.partial(pytorch.Probe, command=("/no/such/python",)))
    done = cli("doctor")
    assert done.returncode == 1
    assert "✗ torch  could not be checked: FileNotFoundError" in done.stdout


@pytest.mark.usefixtures("torch_says", "variables")
def test_the_runs_of_the_runs_directory(cli, tmp_path: Path):
    rundir.create(tmp_path / "mine", "some-run", Settings().to_dict(), {})
    told = {check["name"]: check for check in cli.json("doctor", "--runs-dir", "mine", "--json")["checks"]}
    assert told["runs directory"]["details"] == {"path": str(tmp_path / "mine"), "exists": True}
    assert told["lost runs"]["text"].endswith("some-run")
    (tmp_path / "file").touch()
    assert cli("doctor", "--runs-dir", "file").returncode == 1


def test_the_real_thing(cli, tmp_path):
    process = cli.begin("doctor", "--json")
    out, err = process.communicate(timeout=300)
    told = json.loads(out)
    assert (err, process.returncode) == ("", int(told["problems"] > 0))
    assert list(dict.fromkeys(check["group"] for check in told["checks"])) == GROUPS
    states = [check["status"] for check in told["checks"]]
    counts = [told[name] for name in ("ok", "warnings", "problems")]
    assert counts == [states.count(state) for state in ("ok", "warning", "problem")]
    assert all(check["remedy"] for check in told["checks"] if check["status"] != "ok")
    found = {check["name"]: check for check in told["checks"]}
    for package in ("torch", "torchvision"):
        assert found[package]["status"] != "problem"  # a warning where the import is slow
        assert found[package]["details"]["version"].partition("+")[0] == metadata.version(package).partition("+")[0]
    assert {found[name]["status"] for name in ("python", "runs directory", "locks")} == {"ok"}
    assert list(tmp_path.iterdir()) == []


def test_it_loads_neither_torch_nor_numpy(tmp_path):
    # It may not import what it examines; numpy takes a tenth of a second.
    script = (
        "import functools, sys\n"
        "from domcli.checks import pytorch\n"
        "pytorch.Probe = functools.partial(pytorch.Probe, command=(sys.executable, '-c', 'pass'))\n"
        "from domcli.cli.main import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    loaded = set(done.stderr.split())
    assert "domcli.checks.pytorch" in loaded
    assert loaded.isdisjoint({"torch", "torchvision", "numpy", "textual", "rich"})
