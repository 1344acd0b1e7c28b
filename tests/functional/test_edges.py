"""Odd names, copied runs and outputs that cannot be written: sentences, not tracebacks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import made_runs
import pytest
from PIL import Image

from domcli.printable import printable
from domcli.process import liveness
from domcli.rundir import RunDirectory
from domcli.runs import read_run

NAME = "pgd-dom-re-seed0"


@pytest.mark.parametrize("name", ["", ".", "x" * 300, "a/b"])
def test_a_name_that_cannot_be_one_is_refused_as_that(cli, name: str) -> None:
    done = cli("run", "pgd-dom-re", "--quick", "--name", name, scenario="finish")
    assert done.returncode == 2
    assert "is not a run name" in done.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "pgd-dom-re", "--name", "caf\udce9"),
        ("run", "caf\udce9"),
        ("run", "caf\udce9*"),
        ("run", "pgd-dom-re", "--device", "caf\udce9"),
        ("run", "pgd-dom-re", "--seeds", "caf\udce9"),
        ("show", "caf\udce9"),
        ("runs", "--state", "caf\udce9"),
        ("compare-runs", "caf\udce9"),
        ("compare-runs", NAME, "--assert", "caf\udce9"),
        ("evaluate", NAME, "--checkpoint", "caf\udce9"),
    ],
)
def test_bytes_that_are_not_utf_8_are_shown_in_one_way(cli, words: tuple[str, ...]) -> None:
    made_runs.make(NAME, "finished", epochs=4)
    done = cli(*words)
    assert done.returncode == 2
    assert "'caf\\xe9" in done.stderr
    assert "udce9" not in done.stderr


LONG = "a" * 300
TYPED = [
    ("presets", "check", LONG),
    ("presets", "show", LONG),
    ("run", LONG, "--dry-run"),
    ("run", f"{LONG}.toml", "--dry-run"),
    ("run", "pgd-dom-re", "--dry-run", "--runs-dir", LONG),
    ("run", "pgd-dom-re", "--detach", "--runs-dir", LONG),
    ("run", "pgd-dom-re", "--dry-run", "--set", "data.dataset=imagefolder", "--set", f"data.root={LONG}"),
    ("compare-runs", NAME, "--output", f"{LONG}.md"),
    ("compare-runs", NAME, "--output", f"{LONG}/x.md"),
    ("compare-runs", NAME, "--plot", f"{LONG}.svg"),
    ("compare-runs", LONG),
    ("compare-runs", f"{LONG}/*"),
    ("compare-runs", "~nobody-at-all/x"),
    ("compare-runs", NAME, "--output", "~nobody-at-all/x.md"),
    ("compare-runs", NAME, "--plot", "~nobody-at-all/x.svg"),
    ("export", NAME, "--csv", "~nobody-at-all/x.csv"),
    ("export", NAME, "--tensorboard", "~nobody-at-all"),
    ("figures", NAME, "--output", "~nobody-at-all", "--format", "svg"),
    ("bench", "--json", "~nobody-at-all/x.json"),
    ("show", LONG),
    ("show", NAME, "--runs-dir", LONG),
    ("show", NAME, "--runs-dir", "~nobody-at-all"),
    ("logs", LONG),
    ("resume", LONG),
    ("stop", LONG),
    ("delete", LONG, "--yes"),
    ("evaluate", LONG),
    ("evaluate", NAME, "--checkpoint", LONG),
    ("evaluate", NAME, "--checkpoint", f"{LONG}/last"),
    ("figures", NAME, "--output", LONG, "--format", "svg"),
    ("export", NAME, "--csv", LONG),
    ("export", NAME, "--tensorboard", LONG),
    ("import", LONG),
    ("dashboard", "--replay", LONG),
    ("bench", "--json", LONG, "--runs-dir", LONG, "--only", "none"),
]


@pytest.mark.parametrize("words", TYPED, ids=lambda words: " ".join(word[:20] for word in words))
def test_what_no_file_can_be_called_is_refused_in_a_sentence(cli, words: tuple[str, ...]) -> None:
    made_runs.make(NAME, "finished", epochs=4)
    done = cli(*words)
    assert done.returncode == 2, done
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_looking_at_a_folder_that_cannot_be_there_finds_nothing(cli) -> None:
    for words in (("runs", "--runs-dir", LONG), ("runs", LONG, "--runs-dir", LONG)):
        assert "Traceback" not in cli(*words).stderr
    assert cli("presets", "check", f"{LONG}.toml").stderr == f"error: cannot read {LONG}.toml: File name too long\n"


def test_settings_that_cannot_be_read_are_not_known(cli) -> None:
    run = made_runs.make(NAME, "finished", epochs=4)
    run.settings.write_text("[train")
    assert "settings that differ from the defaults\n  not known\n" in cli("show", NAME).stdout


def test_several_states_that_no_run_is_in(cli) -> None:
    Path("runs").mkdir()
    assert cli("follow", "--state", "queued,starting,running").stderr == (
        "no run in runs is queued, starting or running\n"
    )


def test_a_copied_run_cannot_stop_the_original(cli, until) -> None:
    run = RunDirectory(Path("runs", NAME).absolute())
    cli("run", "pgd-dom-re", "--set", "train.epochs=4", "--detach", scenario="wait")
    until(lambda: read_run(run).status == "running")
    shutil.copytree(run.path, run.path.with_name("copy"))
    states = {one["name"]: one["state"] for one in cli.json("runs", "--json")}
    assert states == {NAME: "running", "copy": "lost"}
    refused = cli("stop", "copy")
    assert refused.returncode == 2
    assert read_run(run).status == "running"
    identity = run.read_process()
    assert liveness(identity) == "alive"
    assert cli("stop", "--kill", NAME).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_under_stdout_is_one_sentence(cli) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "domcli", "presets"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_preset_whose_name_is_not_utf_8_trains_and_is_exported(cli) -> None:
    name = os.fsdecode(b"mine\xff\x1b]0;title\x07")
    Path(f"{name}.toml").write_text("# mine\n[train]\nepochs = 4\n")
    done = cli("run", f"{name}.toml", "--name", "odd", scenario="finish")
    assert done.returncode == 0, done.stderr
    known = json.loads(Path("runs", "odd", "environment.json").read_text(encoding="utf-8"))
    assert known["preset"] == r"mine\xff\x1b]0;title\x07"
    assert rf"{known['preset']}.toml" in known["command_line"]
    exported = cli("export", "*", "--csv", "-")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.count(rf",{known['preset']},") == 4
    assert known["preset"] in cli("show", "odd").stdout


def test_a_runs_folder_with_any_name_works_and_is_quoted(cli) -> None:
    folder = os.fsdecode(b"my runs\xff;\x1b]0;title\x07")
    listed = cli("runs", "--runs-dir", folder)
    assert (listed.returncode, listed.stdout) == (0, "")
    assert r"--quick --runs-dir 'my runs\xff;\x1b]0;title\x07'" in listed.stderr
    done = cli("run", "pgd-dom-re", "--set", "train.epochs=4", "--runs-dir", folder, scenario="finish")
    assert done.returncode == 0, done.stderr
    assert "domcli runs --runs-dir 'my runs" in done.stdout
    assert cli("show", NAME, "--runs-dir", folder).returncode == 0
    assert cli("compare-runs", "*", "--runs-dir", folder, "--json").returncode == 0


def test_a_setting_that_is_not_utf_8_is_refused_in_a_sentence(cli) -> None:
    root = os.fsdecode(b"images\xff")
    Path(root, "train").mkdir(parents=True)
    Path(root, "test").mkdir()
    settings = ("--set", "data.dataset=imagefolder", "--set", f"data.root={root}")
    done = cli("run", "pgd-dom-re", *settings, scenario="finish")
    assert done.returncode == 2
    assert done.stderr.startswith(r"error: --set data.root=images\xff: ")
    assert len(done.stderr.splitlines()) == 1


def test_documents_and_pictures_hold_printable_names(cli) -> None:
    name = os.fsdecode(b"mine\xff\x1b]0;title\x07$1$")
    run = made_runs.make("one", "finished", epochs=4, preset=name)
    shutil.move(run.path, run.path.with_name(name))
    shown = r"mine\xff\x1b]0;title\x07"
    for file in ("all.md", "all.tex", "all.html", "all.csv", "all.json", "all.txt"):
        assert cli("compare-runs", "*", "-o", file, "--plot", f"{file}.svg").returncode == 0
        for path in (Path(file), Path(f"{file}.svg")):
            text = path.read_text(encoding="utf-8")
            assert printable(text) == text
        known = {".tex": r"mine\textbackslash{}xff", ".json": shown.replace("\\", "\\\\"), ".md": r"mine\\xff"}
        assert known.get(Path(file).suffix, shown) in Path(file).read_text(encoding="utf-8")
    assert cli("compare-runs", "*", "--plot", "all.png").returncode == 0
    assert shown in Image.open("all.png").text["Description"]
    assert cli("figures", "*", "--format", "svg").returncode == 0
    assert cli("export", "*", "--tensorboard", "board").returncode == 0


def test_several_problems_are_each_an_error(cli) -> None:
    done = cli("run", "pgd-dom-re", "--set", "train.epochs=0", "--set", "dom.strenght=1")
    assert done.returncode == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "error"]


def test_runs_elsewhere_are_pointed_to_there(cli) -> None:
    done = cli("run", "pgd-dom-re", "--set", "train.epochs=4", "--runs-dir", "elsewhere", scenario="finish")
    assert "domcli runs --runs-dir elsewhere" in done.stdout
