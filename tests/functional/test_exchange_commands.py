"""`domcli import`, `export` and `figures`: results that come from elsewhere and go elsewhere."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from official_log import LOG

SHORT = ("run", "fgsm-dom-re", "--set", "train.epochs=4")
NAME = "fgsm-dom-re-seed0"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of the official implementation, three epochs of PGD training."""
    path = tmp_path / "output.log"
    path.write_text(LOG)
    return path


def test_an_imported_log_is_a_run_like_others(cli, log):
    done = cli("import", str(log))
    assert done.returncode == 0
    assert "PGD_DOM_RE: finished after 3 of 3 epochs" in done.stdout
    assert "batch_size_test=128, data_dir='../cifar-data', chkpt_iters=1000" in done.stderr
    (listed,) = cli.json("runs", "--json")
    assert (listed["state"], listed["epoch"], listed["epochs"]) == ("finished", 3, 3)
    assert (listed["best"]["epoch"], listed["best"]["pgd_accuracy"]) == (2, 0.276)
    assert (listed["last"]["epoch"], listed["last"]["pgd_accuracy"]) == (3, 0.266)
    assert listed["memorization"] is None
    shown = cli("show", "PGD_DOM_RE")
    assert shown.returncode == 0
    assert "high-confidence" in shown.stdout
    assert cli("logs", "PGD_DOM_RE", "-n", "100").stdout == LOG


def test_what_a_log_does_not_say_stays_unknown(cli, log):
    done = cli("import", str(log))
    assert (
        "PGD_DOM_RE: the log does not name the data set: cifar10 is the only one of the official script" in done.stderr
    )
    assert "the schedule is" not in done.stderr
    shown = cli("show", "PGD_DOM_RE").stdout
    assert "  device: not in the log; precision: not in the log\n" in shown
    assert f"  imported from: {log}\n" in shown
    assert "  note: the log does not name the data set: cifar10" in shown
    assert "float32" not in shown
    assert "float32" not in Path("runs/PGD_DOM_RE/events.jsonl").read_text()
    (run,) = cli.json("compare-runs", "PGD_DOM_RE", "--json")["groups"][0]["runs"]
    assert (run["device"], run["precision"]) == (None, None)


def test_import_says_in_json_what_came_of_it(cli, log):
    (found,) = cli.json("import", str(log), "--json", "--name", "mine", "--runs-dir", "elsewhere")
    assert (found["name"], found["state"], found["imported_from"]) == ("mine", "finished", str(log))
    assert found["not_mapped"][0] == "batch_size_test=128"
    assert Path("elsewhere", "mine", "settings.toml").is_file()


def test_a_torn_log_is_one_sentence_and_leaves_nothing(cli, log, tmp_path):
    torn = tmp_path / "torn.log"
    torn.write_text(LOG[:-9])
    done = cli("import", str(log), str(torn))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {torn}, line 6: 11 values stand here; expected 12, from Epoch to Test RO Acc\n"
    assert not Path("runs").exists()


def test_importing_twice_is_refused_with_the_name(cli, log):
    cli("import", str(log))
    done = cli("import", str(log))
    assert done.returncode == 2
    assert "is imported already, as PGD_DOM_RE" in done.stderr
    assert cli("import", str(log), "--name", "second").returncode == 0


def test_one_name_for_several_logs_is_bad_usage(cli, log):
    done = cli("import", str(log), str(log), "--name", "x")
    assert done.returncode == 2
    assert done.stderr == "error: one --name cannot be given to several logs: import them one by one\n"


def test_csv_goes_to_stdout_or_to_a_file(cli, log):
    cli(*SHORT, scenario="finish")
    cli("import", str(log))
    done = cli("export", NAME, "PGD_DOM_RE", NAME, "--csv", "-")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["run"], row["epoch"]) for row in rows] == [
        *((NAME, str(epoch)) for epoch in range(1, 5)),
        *(("PGD_DOM_RE", str(epoch)) for epoch in range(1, 4)),
    ]
    assert rows[0]["memorization.high_confidence"] != ""
    assert (rows[5]["test.pgd_accuracy"], rows[5]["memorization.high_confidence"]) == ("0.276", "")
    written = cli("export", NAME, "PGD_DOM_RE", "--csv", "epochs.csv")
    assert (written.stdout, written.stderr) == ("", "written: epochs.csv\n")
    assert Path("epochs.csv").read_text() == done.stdout


def test_the_columns_are_the_fields_of_the_events(cli):
    cli(*SHORT, scenario="finish")
    (row, *_) = csv.DictReader(io.StringIO(cli("export", NAME, "--csv", "-").stdout))
    event = cli.json("show", NAME, "--json")["epoch_events"][0]
    for section in ("train", "test", "memorization"):
        for field, value in event[section].items():
            if not isinstance(value, list):
                assert row[f"{section}.{field}"] == ("" if value is None else str(value))


def test_tensorboard_has_a_folder_for_each_run(cli, log):
    cli(*SHORT, scenario="finish")
    cli("import", str(log))
    done = cli("export", NAME, "PGD_DOM_RE", "--tensorboard", "boards")
    assert done.returncode == 0
    assert "written: 2 event files; see: tensorboard --logdir boards" in done.stderr
    for name in (NAME, "PGD_DOM_RE"):
        (file,) = Path("boards", name).iterdir()
        assert "tfevents" in file.name
        assert b"brain.Event:2" in file.read_bytes()
        assert b"test/pgd_accuracy" in file.read_bytes()


def test_an_export_to_nowhere_is_bad_usage(cli, log):
    cli("import", str(log))
    done = cli("export", "PGD_DOM_RE")
    assert done.returncode == 2
    assert "--csv FILE, --tensorboard DIR or both" in done.stderr


def test_a_target_that_cannot_be_written_is_one_sentence(cli, log):
    cli("import", str(log))
    Path("file").touch()
    done = cli("export", "PGD_DOM_RE", "--csv", "file/epochs.csv")
    assert done.returncode == 2
    assert done.stderr == "error: cannot write file/epochs.csv: Not a directory\n"


def test_figures_are_written_and_missing_ones_explained(cli, log):
    cli("import", str(log))
    done = cli("figures", "PGD_DOM_RE", "--output", "drawn", "--format", "svg")
    assert (done.returncode, done.stdout) == (0, "drawn/PGD_DOM_RE-accuracy.svg\n")
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["PGD_DOM_RE", f"no figure {name}"] for name in ("loss-ranges", "overlap", "pattern-loss")
    ]
    assert "test PGD-20" in Path("drawn/PGD_DOM_RE-accuracy.svg").read_text()
    outcomes = cli.json("figures", "PGD_DOM_RE", "--output", "drawn", "--format", "svg", "--json")
    assert [(one["figure"], one["path"] is None, one["reason"] is None) for one in outcomes] == [
        ("accuracy", False, True),
        ("loss-ranges", True, False),
        ("overlap", True, False),
        ("pattern-loss", True, False),
    ]


def test_figures_of_nothing_fail(cli, log):
    cli("import", str(log))
    events = Path("runs/PGD_DOM_RE/events.jsonl")
    started, *_ = events.read_text().splitlines()
    events.write_text(f"{started}\n{json.dumps({'kind': 'failed', 'cause': 'error', 'reason': 'x'})}\n")
    done = cli("figures", "PGD_DOM_RE")
    assert (done.returncode, done.stdout) == (1, "")
    assert "PGD_DOM_RE: no epoch is finished yet" in done.stderr
    assert not Path("figures").exists()


OVERWRITING = {
    "csv": ("export", "PGD_DOM_RE", "--csv", "runs/PGD_DOM_RE/events.jsonl"),
    "link": ("export", "PGD_DOM_RE", "--csv", "link.csv"),
    "tensorboard": ("export", "PGD_DOM_RE", "--tensorboard", "runs/PGD_DOM_RE/checkpoints"),
    "output": ("compare-runs", "PGD_DOM_RE", "-o", "runs/PGD_DOM_RE/environment.json"),
    "plot": ("compare-runs", "PGD_DOM_RE", "--plot", "runs/PGD_DOM_RE/checkpoints/last.svg"),
    "figures": ("figures", "PGD_DOM_RE", "-o", "runs/PGD_DOM_RE/checkpoints"),
    "bench": ("bench", "--only", "none", "--json", "runs/PGD_DOM_RE/brief.json"),
    "not there": ("export", "PGD_DOM_RE", "--csv", "runs/PGD_DOM_RE/queue.json"),
}


@pytest.mark.parametrize("kind", OVERWRITING)
def test_a_runs_own_files_are_never_overwritten(cli, log, tmp_path, kind):
    cli("import", str(log))
    run = tmp_path / "runs" / "PGD_DOM_RE"
    (tmp_path / "link.csv").symlink_to(run / "events.jsonl")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = cli(*OVERWRITING[kind])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("error: cannot write ")
    assert done.stderr.endswith(
        f": that is one of the run PGD_DOM_RE's own files; choose another name, or a place outside of {run}\n"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_file_of_another_name_may_lie_with_the_run(cli, log, tmp_path):
    cli("import", str(log))
    assert cli("export", "PGD_DOM_RE", "--csv", "runs/PGD_DOM_RE/table.csv").returncode == 0
    assert cli("compare-runs", "PGD_DOM_RE", "--plot", "runs/PGD_DOM_RE/curve.svg").returncode == 0
    assert {"table.csv", "curve.svg"} <= {path.name for path in (tmp_path / "runs" / "PGD_DOM_RE").iterdir()}


def test_nothing_is_exported_when_one_of_two_places_is_refused(cli, log, tmp_path):
    cli("import", str(log))
    done = cli("export", "PGD_DOM_RE", "--tensorboard", "board", "--csv", "runs/PGD_DOM_RE/settings.toml")
    assert done.returncode == 2
    assert not (tmp_path / "board").exists()
