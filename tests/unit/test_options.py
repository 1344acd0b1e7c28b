"""Commands that are shown for typing work as they stand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from domcli.cli import options
from domcli.cli.main import app
from domcli.cli.once import UsageError
from domcli.plural import counted


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


def valued_options() -> Iterator[tuple[str, list[str], str]]:
    """Yield the name, the command and the option of everything that takes one value on the command line."""

    def look(command: Any, words: list[str]) -> Iterator[tuple[str, list[str], str]]:
        for name, sub in getattr(command, "commands", {}).items():
            yield from look(sub, [*words, name])
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.is_flag and not parameter.multiple:
                for option in parameter.opts:
                    yield parameter.opts[0], words, option

    yield from look(typer.main.get_command(app), [])


@pytest.mark.parametrize(("name", "words", "option"), list(valued_options()))
def test_an_option_that_is_given_twice_is_refused(name: str, words: list[str], option: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is given more than once; give it once"):
        app([*words, option, "1", option, "2"], standalone_mode=False)


def test_options_that_take_several_values_and_switches_may_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    twice = ["--set", "train.epochs=3", "--set", "train.seed=1", "--json", "--json"]
    app(["presets", "show", "pgd-dom-re", *twice], standalone_mode=False)
    assert '"epochs": 3' in capsys.readouterr().out


@pytest.mark.parametrize(("count", "text"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (2000, "2,000 epochs")])
def test_a_count_agrees_with_its_noun(count: int, text: str) -> None:
    assert counted(count, "epoch") == text
