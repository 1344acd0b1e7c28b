from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
from typer.testing import CliRunner, Result

from domcli import presets
from domcli.cli import main
from domcli.cli.presets import document
from domcli.errors import SettingsError
from domcli.settings import Settings

ROOT = Path(__file__).parents[2]
NAMES = [info.name for info in presets.available()]
BAD = "[train]\nepochs = 0\nepoch = 3\n"


def invoke(*arguments: str) -> Result:
    """Run `domcli presets ...` in this process; a problem is raised as main would meet it."""
    return CliRunner().invoke(main.app, ["presets", *arguments], catch_exceptions=False)


def domcli(*arguments: str, code: str = "from domcli.cli.main import main; main()") -> subprocess.CompletedProcess[str]:
    """Run `domcli ...` in a fresh interpreter, standard output to a pipe."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal, from its outer and its inner side."""
    outer, inner = os.openpty()
    yield outer, inner
    os.close(outer)


def on_terminal(ends: tuple[int, int], *arguments: str) -> str:
    """Return what `domcli ...` writes to a terminal of 80 columns."""
    outer, inner = ends
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-c", "from domcli.cli.main import main; main()", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=inner, stderr=inner, stdin=subprocess.DEVNULL)
    os.close(inner)
    shown = b""
    while chunk := _read(outer):
        shown += chunk
    assert process.wait() == 0
    return shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that the other side is closed
        return b""


def test_the_list_has_a_line_for_every_preset() -> None:
    done = domcli("presets")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == NAMES
    width = len("natural-dom-randaugment")
    assert [line[width + 2 :] for line in done.stdout.splitlines()] == [
        info.description for info in presets.available()
    ]


def test_the_list_as_json() -> None:
    listed = json.loads(invoke("--json").stdout)
    assert [entry["name"] for entry in listed] == NAMES
    assert all(set(entry) == {"name", "description", "path"} for entry in listed)
    assert all(Path(entry["path"]).is_file() for entry in listed)


def test_the_list_on_a_terminal_is_grouped_and_complete(terminal: tuple[int, int]) -> None:
    shown = on_terminal(terminal, "presets")
    assert "\x1b[" in shown
    positions = [shown.index(word) for word in ("Natural training (", "pgd-dom-re", "Single-step", "fgsm-randaugment")]
    assert positions == sorted(positions)
    assert all(name in shown for name in NAMES)


def test_settings_on_a_terminal_are_highlighted(terminal: tuple[int, int]) -> None:
    shown = on_terminal(terminal, "presets", "show", "pgd-dom-re")
    assert "\x1b[" in shown
    assert "batch_size" in shown


@pytest.mark.parametrize("arguments", [["presets"], ["presets", "--json"], ["presets", "--help"]])
def test_the_list_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from domcli.cli.main import main\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'torchvision', 'textual', 'rich.console', 'domcli.settings')"
        " if name in sys.modules], file=sys.stderr)\n"
    )
    done = domcli(*arguments, code=code)
    assert done.returncode == 0
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("name", NAMES)
def test_shown_settings_are_toml_that_runs_the_same_experiment(name: str, tmp_path: Path) -> None:
    shown = invoke("show", name).stdout
    copy = tmp_path / "copy.toml"
    copy.write_text(shown)
    assert presets.resolve(str(copy)) == presets.resolve(name)
    assert tomli.loads(shown) == presets.resolve(name).complete()


def test_shown_settings_are_explained() -> None:
    lines = invoke("show", "pgd-dom-re").stdout.splitlines()
    assert lines[lines.index("threshold = 1.5") - 1].startswith("# Loss threshold T: ")
    assert lines[lines.index("[dom]") - 1].startswith("# Distraction Over-Memorization")
    assert lines[lines.index("# train_images is not set") - 1].startswith("# Use only this many training images")


def test_every_key_is_shown_even_with_all_of_them_set() -> None:
    settings = presets.resolve("pgd-dom-re", ["data.mean=[0.5, 0.25]", "data.std=[1, 1]", 'data.root="a\\"b"'])
    assert tomli.loads(document(settings)) == settings.complete()
    assert settings.data.mean == (0.5, 0.25)


def test_overrides_and_quick_are_shown_as_they_would_run() -> None:
    arguments = ["show", "fgsm-dom-augmix", "--quick", "--set", "train.epochs=3", "--set", "data.root=/some/dir"]
    expected = presets.resolve("fgsm-dom-augmix", ["train.epochs=3", "data.root=/some/dir"], quick=True).complete()
    assert tomli.loads(invoke(*arguments).stdout) == expected
    assert json.loads(invoke(*arguments, "--json").stdout) == expected
    assert json.loads(invoke("--json", *arguments).stdout) == expected


def test_a_file_can_be_shown(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[train]\nepochs = 3\n")
    assert json.loads(invoke("show", str(mine), "--json").stdout)["train"]["epochs"] == 3


def test_good_files_are_ok(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[train]\nepochs = 3\n")
    assert invoke("check", str(mine), "pgd-dom-re").stdout == f"ok: {mine}\nok: pgd-dom-re\n"


def test_bad_files_are_told_from_good_ones(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.toml", tmp_path / "good.toml"
    bad.write_text(BAD)
    good.write_text("")
    done = domcli("presets", "check", str(bad), str(good), str(tmp_path / "none.toml"))
    assert done.returncode == 2
    assert done.stdout == f"ok: {good}\n"
    assert f"{bad}, line 2: train.epochs is 0; it must be at least 1\n" in done.stderr
    assert f"{bad}, line 3: unknown key train.epoch; did you mean train.epochs?\n" in done.stderr
    assert f"there is no file {tmp_path}/none.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_as_json_says_the_same(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(BAD)
    done = domcli("presets", "check", str(bad), "pgd-dom-re", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout) == [
        {
            "file": str(bad),
            "ok": False,
            "problems": [
                f"{bad}, line 2: train.epochs is 0; it must be at least 1",
                f"{bad}, line 3: unknown key train.epoch; did you mean train.epochs?",
            ],
            "warnings": [],
        },
        {"file": "pgd-dom-re", "ok": True, "problems": [], "warnings": []},
    ]


def test_a_check_warns_of_another_scale_and_is_content(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[attack]\nepsilon = 0.031\n")
    done = domcli("presets", "check", str(mine))
    assert (done.returncode, done.stdout) == (0, f"ok: {mine}\n")
    assert done.stderr.startswith(f"warning: {mine}: attack.epsilon is 0.031, and it is in 1/255: ")
    (found,) = json.loads(domcli("presets", "check", str(mine), "--json").stdout)
    assert found["ok"]
    assert len(found["warnings"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "pgd-dom-er"], "unknown preset 'pgd-dom-er'; did you mean pgd-dom-re"),
        (["show", "pgd-dom-re", "--set", "attack.epsilon=-1"], "--set attack.epsilon=-1: attack.epsilon is -1"),
        (["show", "no/file.toml"], "there is no file no/file.toml"),
        (["check", "pgd-dom-er"], "unknown preset 'pgd-dom-er'"),
    ],
)
def test_a_problem_reaches_main_as_a_sentence(arguments: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        invoke(*arguments)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_a_problem_ends_with_exit_code_two_and_no_traceback() -> None:
    done = domcli("presets", "show", "pgd-dom-er")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown preset 'pgd-dom-er'; did you mean pgd-dom-re")
    assert done.stderr.count("\n") == 1


def test_the_defaults_are_what_an_empty_file_runs(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    assert json.loads(invoke("show", str(tmp_path / "empty.toml"), "--json").stdout) == Settings().complete()
