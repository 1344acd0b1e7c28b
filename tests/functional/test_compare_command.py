"""`domcli compare-runs` as it is typed, on runs that were written by hand."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from terminal import Terminal

from domcli import events, rundir
from domcli.events import EpochEnd, Finished, Memorization, Started, TrainMetrics, encode
from domcli.presets import resolve
from domcli.rundir import RunDirectory

PGD = {"pgd-baseline": (0.40, 0.42, 0.41), "pgd-dom-re": (0.50, 0.53, 0.51)}

HEAVY = {"torch", "numpy", "scipy", "textual", "domcli.settings"}
PROBE = "import sys; from domcli.cli.main import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three seeds of pgd-baseline and pgd-dom-re, in the folder where the commands look."""
    for preset, accuracies in PGD.items():
        for seed, accuracy in enumerate(accuracies):
            write_run(tmp_path / "runs", preset, seed, [0.1, accuracy + 0.05, accuracy])
    return tmp_path / "runs"


def write_run(folder: Path, preset: str, seed: int, pgd: Sequence[float], finished: bool = True) -> RunDirectory:
    settings = resolve(preset, ["train.epochs=3", f"train.seed={seed}"])
    run = rundir.create(folder, f"{preset}-seed{seed}", settings.to_dict(), {"preset": preset, "created": float(seed)})
    lines = [
        Started(
            settings_digest=settings.digest(),
            device="cpu",
            device_name="a machine",
            precision="float32",
            train_size=1000,
            test_size=200,
            classes=10,
            image_shape=(3, 32, 32),
            parameters=12345,
            epochs=3,
            steps_per_epoch=8,
        ),
        *(epoch_end(number, accuracy, best=number == 2) for number, accuracy in enumerate(pgd, start=1)),
        *([Finished(seconds=12.5)] if finished else []),
    ]
    run.events.write_bytes(b"".join(map(encode, lines)))
    return run


def epoch_end(number: int, pgd: float, best: bool) -> EpochEnd:
    return EpochEnd(
        epoch=number,
        lr=0.1,
        train=TrainMetrics(natural_loss=1.5, natural_accuracy=0.4),
        test=events.TestMetrics(natural_loss=1.4, natural_accuracy=0.8, pgd_accuracy=pgd, pgd_loss=2.0),
        train_attack=None,
        memorization=Memorization(
            threshold=1.5,
            high_confidence=200,
            original=150,
            transformed=50,
            entered=1,
            left=0,
            removed=0,
            augmented=0,
            histogram=(100, 100, 100, 100, 100, 500),
            overlap=0.9,
        ),
        best=best,
        train_seconds=2.0,
        test_seconds=0.5,
        images_per_second=1234.5,
        memory=1 << 20,
    )


@pytest.mark.usefixtures("runs")
def test_a_table_without_control_characters_for_pipes(cli):
    done = cli("compare-runs", "pgd-baseline", "pgd-dom-re")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\033" not in done.stdout
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["pgd-baseline", "3", "46.00 ± 1.00", "41.00 ± 1.00", "5.00 ± 0.00"] in cells
    assert ["pgd-dom-re", "3", "56.33 ± 1.53", "51.33 ± 1.53", "5.00 ± 0.00"] in cells
    assert ["dom.operate", "none", "remove"] in cells
    assert "the highest PGD test accuracy" in done.stdout


@pytest.mark.usefixtures("runs")
def test_json_by_either_name(cli):
    content = cli.json("compare-runs", "pgd", "--format", "json")
    assert {group["name"]: group["n"] for group in content["groups"]} == {"pgd-baseline": 3, "pgd-dom-re": 3}
    other = cli.json("compare-runs", "pgd", "--json")
    assert other["groups"] == content["groups"]


def test_runs_from_anywhere(cli, runs, tmp_path):
    content = cli.json("compare-runs", "--json", "--runs-dir", str(runs), "pgd-dom-re-seed?", "runs/pgd-baseline-seed0")
    assert [(group["name"], group["n"]) for group in content["groups"]] == [("pgd-dom-re", 3), ("pgd-baseline", 1)]
    assert content["tests"][0]["baseline"] == "pgd-dom-re"


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("out.md", "# Comparison"),
        ("out.tex", "% Made by"),
        ("out.csv", "group,metric"),
        ("out.json", "{"),
        ("out.HTML", "<!doctype html>"),
        ("out.txt", "Natural test accuracy"),
    ],
)
def test_the_ending_of_the_file_gives_the_format(cli, tmp_path, name, begins):
    done = cli("compare-runs", "pgd", "--output", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"written: {name}\n")
    assert (tmp_path / name).read_text().startswith(begins)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", name}


@pytest.mark.usefixtures("runs")
def test_the_format_wins_over_the_ending(cli, tmp_path):
    assert cli("compare-runs", "pgd", "--format", "csv", "-o", "out.txt").returncode == 0
    with (tmp_path / "out.txt").open(newline="") as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"pgd-baseline", "pgd-dom-re"}


@pytest.mark.usefixtures("runs")
def test_a_file_that_cannot_be_written_is_a_sentence_and_leaves_the_old_one(cli, tmp_path):
    (tmp_path / "table.md").write_text("old")
    done = cli("compare-runs", "pgd", "--output", "table.md/out.md")
    assert (done.returncode, (tmp_path / "table.md").read_text()) == (2, "old")
    assert done.stderr == "error: cannot write table.md/out.md: Not a directory; choose another --output\n"
    done = cli("compare-runs", "pgd", "--output", "runs")
    assert (done.returncode, "not a file" in done.stderr) == (2, True)


@pytest.mark.usefixtures("runs")
def test_a_folder_that_is_missing_is_made_for_every_result(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for command in (
        ("compare-runs", "pgd", "--output", "made/by/compare.md"),
        ("compare-runs", "pgd", "--plot", "made/by/plot.svg"),
        ("export", "pgd*", "--csv", "made/by/export.csv"),
        ("export", "pgd*", "--csv", "~/made/by/export.csv"),
    ):
        done = cli(*command)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / command[-1].replace("~", "home")).stat().st_size > 0


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("-o", "x.docx"),
            "--output x.docx: its ending does not say which format it is to have; give it one of .txt, .md",
        ),
        (("-o", "x"), "--output x: its ending does not say"),
        (("--format", "csv", "-o", "y.tex"), "--output y.tex is the name of a latex file, and --format csv asks for"),
        (("--json", "-o", "y.md"), "--output y.md is the name of a markdown file, and --json asks for another"),
        (("-o", "runs/no-file"), "--output runs/no-file: its ending does not say"),
        (("-o", "/dev/null/y.md"), "cannot write /dev/null/y.md: Not a directory"),
        (("-o", "y.md", "--plot", "c.gif"), "c.gif is not the name of a figure"),
    ],
)
def test_a_file_that_is_refused_is_so_before_anything_is_written(cli, tmp_path, arguments, sentence):
    plot = () if "--plot" in arguments else ("--plot", "curves.svg")
    done = cli("compare-runs", "pgd", *plot, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {sentence}")
    assert len(done.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("form", "begins"), [((), "Natural test accuracy"), (("--format", "md"), "# Comparison of runs")]
)
def test_a_pipe_takes_a_comparison(cli, tmp_path, form, begins):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    done = cli("compare-runs", "pgd", "-o", "pipe", *form)
    found = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert (done.returncode, done.stderr) == (0, "written: pipe\n")
    assert found.startswith(begins)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("encoding", "sign"), [("ascii", "+-"), ("latin-1", "±")])
def test_a_table_keeps_its_columns_where_signs_lack(cli, encoding, sign):
    done = subprocess.run(
        cli.command("compare-runs", "pgd"),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    text = done.stdout.decode(encoding)
    columns, rule, row = text.splitlines()[1:4]
    assert rule == "-" * len(columns) == "-" * len(row)
    assert f"80.00 {sign} 0.00" in row
    assert "\\" not in text


@pytest.mark.usefixtures("runs")
def test_the_null_device_stays_one(cli):
    assert cli("compare-runs", "pgd", "-o", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.usefixtures("runs")
def test_a_dash_is_stdout(cli):
    for form in ("markdown", "csv", "json"):
        done = cli("compare-runs", "pgd", "-o", "-", "--format", form)
        assert (undated(done.stdout), done.stderr) == (undated(cli("compare-runs", "pgd", "--format", form).stdout), "")
    assert undated(cli("compare-runs", "pgd", "-o", "-").stdout) == undated(cli("compare-runs", "pgd").stdout)


def undated(text: str) -> str:
    """Return text without the times at which it was made: minutes pass between two commands."""
    return re.sub(r"\d\d:\d\d(:\d\d)?", "", text)


@pytest.mark.usefixtures("runs")
def test_an_ending_that_says_nothing_takes_any_format(cli, tmp_path):
    assert cli("compare-runs", "pgd", "--format", "json", "-o", "results").returncode == 0
    assert json.loads((tmp_path / "results").read_text())["groups"]


@pytest.mark.usefixtures("runs")
def test_a_comparison_in_which_no_run_counts_ends_with_1(cli, tmp_path):
    done = cli("compare-runs", "pgd-dom-re", "--at-epoch", "99", "--plot", "curves.svg")
    assert done.returncode == 1
    assert "Runs that do not count" in done.stdout
    assert done.stderr == (
        "error: no run counts: pgd-dom-re-seed0 finished after 3 of 3 epochs, and 99 are asked for (and 2 more, each "
        "listed with its reason)\n"
    )
    assert not (tmp_path / "curves.svg").exists()


@pytest.mark.usefixtures("runs")
def test_a_figure_says_which_runs_it_shows(cli, tmp_path):
    cli("compare-runs", "pgd-dom-re", "--plot", "c.svg")
    text = (tmp_path / "c.svg").read_text()
    for seed in range(3):
        assert f"pgd-dom-re: run {tmp_path}/runs/pgd-dom-re-seed{seed}, seed {seed}, 3 epochs" in text


@pytest.mark.usefixtures("runs")
def test_errors_instead_of_accuracies(cli):
    content = cli.json("compare-runs", "pgd-dom-re", "--error", "--json")
    assert content["groups"][0]["last"]["pgd"]["mean"] == pytest.approx(100 - 154 / 3)


@pytest.mark.usefixtures("runs")
def test_after_an_epoch(cli):
    content = cli.json("compare-runs", "pgd-dom-re", "--at-epoch", "1", "--json")
    assert content["groups"][0]["last"]["pgd"]["mean"] == pytest.approx(10)


@pytest.mark.usefixtures("runs")
def test_the_paper_beside_it(cli):
    done = cli("compare-runs", "pgd-dom-re", "--paper")
    assert "Not the paper's settings" in done.stdout
    assert "pgd-dom-re (Table 3)" in done.stdout


def test_a_gate_that_holds(cli, runs):
    done = cli("compare-runs", "pgd", "--json", "--assert", "pgd.last: pgd-dom-re > pgd-baseline + 10")
    assert done.returncode == 0
    assert json.loads(done.stdout)["groups"]
    assert done.stderr == (
        "'pgd.last: pgd-dom-re > pgd-baseline + 10' holds: 51.33 % (n = 3) is greater than 41.00 % (n = 3) "
        "+10 = 51.00 %\n"
    )


def test_a_gate_that_does_not_hold_still_shows_the_comparison(cli, runs):
    expected = ["natural.last: pgd-dom-re >= 80", "pgd.last: pgd-baseline > pgd-dom-re", "pgd.best: pgd-dom-re > 90"]
    done = cli("compare-runs", "pgd", "--json", *(part for text in expected for part in ("--assert", text)))
    assert done.returncode == 1
    assert json.loads(done.stdout)["groups"]
    sentences = done.stderr.splitlines()
    assert [line.startswith("error: ") for line in sentences] == [False, True, True]
    assert "41.00 % (n = 3) is not greater than 51.33 % (n = 3)" in sentences[1]
    assert "56.33 % (n = 3) is not greater than 90.00 %" in sentences[2]


def test_a_gate_is_about_accuracy_whatever_is_shown(cli, runs):
    assert cli("compare-runs", "pgd", "--error", "--assert", "pgd.last: pgd-dom-re > pgd-baseline").returncode == 0


def test_a_gate_that_cannot_be_read_ends_before_anything_is_shown(cli, runs):
    done = cli("compare-runs", "pgd", "--assert", "pgd-dom-re is better")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: cannot read --assert 'pgd-dom-re is better'")


def test_an_unfinished_run_is_listed_and_no_failure(cli, runs):
    write_run(runs, "pgd-dom-re", 3, [0.1], finished=False)
    done = cli("compare-runs", "pgd-dom-re")
    assert done.returncode == 0
    assert "pgd-dom-re-seed3" in done.stdout
    assert "after 1 of 3 epochs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fgsm"], "error: no run fits 'fgsm'; runs has "),
        (
            [],
            "error: name the runs to compare, the baseline first, as in: domcli compare-runs pgd-baseline pgd-dom-re",
        ),
        (["pgd", "--json", "--format", "csv"], "error: --json and --format csv ask for two formats"),
        (["pgd", "--paper", "--at-epoch", "2"], "error: --paper compares with the end of training"),
    ],
)
def test_bad_usage_is_a_sentence(cli, runs, arguments, sentence):
    done = cli("compare-runs", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1


def test_without_any_runs_the_example_is_of_presets(cli, tmp_path):
    done = cli("compare-runs", "--runs-dir", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("compare-runs pgd-baseline pgd-dom-re (there are none in nothing yet)\n")


def test_comparing_loads_neither_torch_nor_numpy(cli, runs):
    command = [sys.executable, "-c", PROBE, "compare-runs", "pgd", "--format", "html"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<!doctype html>")
    assert HEAVY.isdisjoint(done.stderr.split())


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(("name", "begins"), [("c.png", b"\x89PNG"), ("c.svg", b"<?xml"), ("c.pdf", b"%PDF")])
def test_curves_as_a_figure(cli, tmp_path, name, begins):
    done = cli("compare-runs", "pgd*", "--plot", name)
    assert (done.returncode, f"written: {name}\n" in done.stderr) == (0, True)
    assert (tmp_path / name).read_bytes().startswith(begins)
    if name.endswith("svg"):
        text = (tmp_path / name).read_text()
        for word in (*PGD, "test accuracy, %", "memorized patterns", "loss"):
            assert f">{word}<" in text


@pytest.mark.usefixtures("runs")
def test_a_figure_of_another_kind_is_refused(cli, tmp_path):
    done = cli("compare-runs", "pgd*", "--plot", "c.gif")
    assert done.returncode == 2
    assert "it must end in one of .png, .svg, .pdf" in done.stderr
    assert not (tmp_path / "c.gif").exists()


@pytest.mark.usefixtures("runs")
def test_a_terminal_sees_the_curves_too(cli):
    terminal = Terminal(cli.command("compare-runs", "pgd*"), columns=100, lines=60)
    assert terminal.end() == 0
    picture = terminal.text[terminal.text.index("(mean and standard deviation)") :]
    assert "pgd-baseline" in picture
    assert "pgd-dom-re" in picture
    assert any("\u2800" < sign < "\u28ff" for sign in picture)
    assert max(len(line) for line in picture.splitlines()) <= 100


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_narrow_terminal_cuts_nothing(cli, columns):
    terminal = Terminal(cli.command("compare-runs", "pgd*"), columns=columns, lines=300)
    assert terminal.end() == 0
    assert max(len(line) for line in terminal.text.splitlines()) <= columns
    for number in ("46.00 ± 1.00", "56.33 ± 1.53", "0:00:12 ± 0:00:00", "[+8.90, +11.77]", "more seeds"):
        assert number in terminal.text
    assert "pgd-baseline" in "".join(terminal.text.split())
