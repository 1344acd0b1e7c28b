"""Commands that are shown for typing work as they stand."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from domcli.cli import options


def test_the_program_is_called_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv" / "bin" / "domcli"), "runs"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert options.program() == ".venv/bin/domcli"
    found = tmp_path / "bin" / "domcli"
    found.parent.mkdir()
    found.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(found.parent))
    assert options.program() == "domcli"


def test_names_that_command_terminals_are_not_completed(tmp_path: Path) -> None:
    for name in ("a-run", "a-\x1b]0;x\x07", os.fsdecode(b"a-\xff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "settings.toml").touch()
    context = SimpleNamespace(params={"runs_dir": tmp_path})
    assert options.complete_run(cast(Any, context), "a") == ["a-run"]


def test_a_module_is_called_through_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.argv", ["/site-packages/domcli/__main__.py"])
    assert options.program() == "python -m domcli"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", ["queued", "starting", "running", "finished", "failed", "stopped", "lost"]),
        ("f", ["finished", "failed"]),
        ("failed,l", ["failed,lost"]),
        ("nonsense", []),
    ],
)
def test_states_complete_also_in_a_list(typed: str, expected: list[str]) -> None:
    assert options.complete_state(typed) == expected
