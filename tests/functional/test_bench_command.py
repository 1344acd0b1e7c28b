"""`domcli bench` with a tiny network, in the real processes; what it refuses, and how it ends when interrupted."""

from __future__ import annotations

import json
import signal
import sys
import tempfile

import psutil
import pytest

from domcli import devices
from domcli.cli import bench_text, benching, together_text
from domcli.sharing import figures

TINY = ("--device", "cpu", "--width", "4", "--batch-size", "16", "--quick", "--pairs", "2")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    """What is measured here is no measurement of this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_table_and_json(cli, tmp_path):
    done = cli("bench", *TINY, "--only", "natural", "--only", "natural-augmix,", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("PreActResNet-18 of width 4, batch 16, on cpu (")
    rows = {line.split()[0]: line.split() for line in lines if line.strip()}
    found = json.loads((tmp_path / "found.json").read_text())
    assert [case["case"] for case in found["cases"]] == ["natural", "natural-augmix"]
    assert found["complete"]
    assert (found["schema"], found["width"], found["batch_size"], found["quick"]) == (1, 4, 16, True)
    assert {"date", "torch", "device_name", "precision", "domcli", "python"} < found.keys()
    assert found["threads"] == {"plain": 1, "domcli": 1}
    assert found["engine"]
    natural, augmix = found["cases"]
    assert natural["ratio"] > 0
    assert (
        len(natural["ratios"]) == len(natural["plain"]["measurements"]) == len(natural["domcli"]["measurements"]) == 2
    )
    assert augmix["plain"] is augmix["ratio"] is None
    assert 0 < augmix["domcli"]["high_confidence"] < 1
    assert natural["evaluation"]["images"] == 128
    assert rows["natural"][-2:] == [f"{100 * natural['floor']['share']:.1f}", "%"]
    assert rows["natural"][1] == bench_text.number(1e3 * natural["domcli"]["seconds"])
    estimates = {one["preset"]: one for one in found["presets"]}
    assert len(estimates) == 18
    assert {name for name, one in estimates.items() if one["problem"] is None} == {
        "natural-baseline",
        "natural-dom-augmix",
    }
    assert estimates["natural-dom-augmix"]["step_before"] == natural["domcli"]["seconds"]
    assert estimates["natural-dom-augmix"]["step_after"] == augmix["domcli"]["seconds"]
    assert estimates["natural-dom-augmix"]["total"] > 0
    assert "natural-dom-augmix" in rows
    assert "16 of 18 presets are not estimated" in done.stdout
    assert "measuring natural-augmix, ETA " in done.stderr
    # It is remembered, and so a dry run knows it, of the same size alone.
    size = ("--set", "model.width=4", "--set", "train.batch_size=16", "--device", "cpu", "--dry-run", "--json")
    known, unknown = cli.json("run", "natural-dom-augmix", "pgd-dom-re", *size)["runs"]
    assert known["seconds"] == pytest.approx(estimates["natural-dom-augmix"]["total"])
    assert unknown["seconds"] is None


def test_ctrl_c_shows_what_was_measured(cli, until, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = cli.begin("bench", *TINY[:-2], "--pairs", "3000", "--only", "natural-remove", "--json", "-")
    children: list[psutil.Process] = []

    def has_logged(words: str) -> bool:
        children[:] = psutil.Process(process.pid).children()
        return any(words in log.read_text() for log in tmp_path.glob("domcli-bench-*.log"))

    until(lambda: has_logged("natural-remove: starting"))
    until(lambda: has_logged("pair 2 of 3000"))
    children += children[0].children(recursive=True)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    found = json.loads(out)
    assert not found["complete"]
    (case,) = found["cases"]
    assert case["case"] == "natural-remove"
    assert len(case["domcli"]["measurements"]) >= 1
    assert "Traceback" not in err
    assert len(children) >= 2
    assert not [child for child in psutil.wait_procs(children, timeout=30)[1] if child.is_running()]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "pgd"], "unknown case 'pgd'; the cases are natural, natural-remove,"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--json", "/proc/version/found.json"], "cannot write /proc/version/found.json: Not a directory"),
        (["--width", "0"], "'--width'"),
        (["--pairs", "many"], "'--pairs'"),
        (
            ["--together", "--only", "natural-remove"],
            "--together does not measure 'natural-remove'; it measures natural",
        ),
        (["--together", "--pairs", "3"], "--pairs does not go with --together"),
        (["--together", "--trainers", "1,0"], "--trainers 1,0: write whole numbers from 1 to 64 with commas"),
        (["--together", "--trainers", ""], "--trainers : write whole numbers"),
        (["--trainers", "2"], "--trainers goes with --together"),
    ],
)
def test_what_is_refused(cli, arguments, sentence):
    done = cli("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("raise SystemExit(7)", "the benchmark ended without a result, exit code 7 (log: "),
        ("import os; os.kill(os.getpid(), 9)", "the benchmark ended without a result, exit code -9 (log: "),
    ],
)
def test_a_process_that_dies_is_an_error_with_its_log(cli, monkeypatch, tmp_path, script, sentence):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(benching, "PROCESS", (sys.executable, "-c", script))
    done = cli("bench", "--device", "cpu")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert list(tmp_path.glob("domcli-bench-*.log"))


def test_trainers_at_the_same_time(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny = ("--device", "cpu", "--width", "4", "--batch-size", "16", "--quick")
    done = cli("bench", "--together", *tiny, "--only", "natural", "--trainers", "1,2", "--json", "found.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["schema"], found["kind"], found["complete"]) == (1, "together", True)
    (case,) = found["cases"]
    one, two = case["together"]
    assert ([one["trainers"], two["trainers"]], one["times_one"], one["slow_down"]) == ([1, 2], 1.0, 1.0)
    assert two["images_per_second"] == pytest.approx(16 * two["steps_per_second"])
    assert two["slow_down"] == pytest.approx(2 / two["times_one"])
    assert min(rate for part in two["measurements"] for rate in part["steps_per_second"]) > 0
    assert one["memory"] > 50_000_000
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("natural ")]
    assert [row[1] for row in rows] == ["1", "2"]
    assert rows[1][2] == bench_text.number(two["images_per_second"])
    assert f"--jobs-per-gpu auto: natural {case['auto']}\n" in done.stdout
    assert f"remembered in {tmp_path / 'cache' / 'domcli' / 'together.json'}" in done.stdout.replace("\n", "")
    (kept,) = figures.recall()
    assert [round(each.images_per_second, 6) for each in kept.together] == [
        round(each["images_per_second"], 6) for each in (one, two)
    ]
    assert (kept.width, kept.batch_size, kept.cores) == (4, 16, devices.cpu_count())
    assert "measuring natural, ETA " in done.stderr


def test_ctrl_c_shows_the_trainers_that_were_measured(cli, until, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny = ("--device", "cpu", "--width", "4", "--batch-size", "16", "--quick")
    process = cli.begin("bench", "--together", *tiny, "--only", "natural", "--trainers", "1,2", "--json", "-")
    children: list[psutil.Process] = []
    until(lambda: any("starting 2 trainers" in log.read_text() for log in tmp_path.glob("domcli-bench-*.log")))
    children += psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    found = json.loads(out)
    assert not found["complete"]
    assert found["cases"][0]["together"][0]["images_per_second"] > 0
    assert "Traceback" not in err
    assert figures.recall() == []
    assert len(children) >= 2
    assert not [child for child in psutil.wait_procs(children, timeout=30)[1] if child.is_running()]


def test_those_that_do_not_fit_and_those_with_the_service_have_their_lines(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    fits = {"trainers": 1, "threads": 8, "engines": [], "fits": True, "problem": None, "steps_per_second": 100.0}
    fits |= {"images_per_second": 12800.0, "times_one": 1.0, "slow_down": 1.0, "memory": 9_000_000_000}
    fits |= {"seconds": 10.0, "measurements": [{"steps_per_second": [99.0]}, {"steps_per_second": [101.0]}]}
    not_these = dict.fromkeys(fits) | {"trainers": 2, "fits": False, "problem": "too much", "measurements": []}
    case = {"case": "fgsm", "mps": False, "problem": None, "auto": 1, "together": [fits, not_these]}
    with_it = {**case, "mps": True, "auto": 4, "together": [fits]}
    report = {"width": 64, "batch_size": 128, "device": "cuda:0", "device_name": "H200", "cores": 16}
    report |= {"precision": "bfloat16", "torch": "9", "cases": [case, with_it], "remembered": None, "complete": True}
    report |= {"mps": {"service": "of a daemon of its own", "problem": None}}
    together_text.write_tables(report)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith("fgsm ")]
    assert [" ".join(row).replace("–", "-") for row in rows] == [
        "fgsm 1 12,800 100 1.00x 0.99 to 1.01 1.00x 8 9.00 GB",
        "fgsm 2 does not fit - - - - - -",
        "fgsm with MPS 1 12,800 100 1.00x 0.99 to 1.01 1.00x 8 9.00 GB",
    ]
    assert "--jobs-per-gpu auto: fgsm 1" in lines
    assert "--jobs-per-gpu auto where an MPS daemon runs: fgsm 4" in lines
    assert "fgsm, 2: too much" in lines
    assert not [line for line in lines if "a wide spread" in line]
    with_it["together"] = [{**fits, "measurements": [{"steps_per_second": [70.0]}, {"steps_per_second": [130.0]}]}]
    together_text.write_tables(report)
    assert "a wide spread: something else was running" in capsys.readouterr().out
    assert "with MPS: with NVIDIA's Multi-Process Service of a daemon of its own" in lines


@pytest.mark.parametrize(("ratios", "wide"), [([6.0, 8.0], False), ([4.0, 8.0], True), ([], False), ([3.0], False)])
def test_ratios_that_lie_far_apart_are_told_of(ratios, wide):
    case = {"case": "fgsm", "problem": None, "ratios": ratios, "floor": None, "evaluation": None}
    notes = bench_text._notes({"cases": [case], "presets": [], "complete": True})
    assert ("a wide spread: something else was running; measure again when nothing is" in notes) is wide


def test_a_narrow_terminal_gets_fewer_columns():
    row = {"case": "natural-remove", "ms a step": "100", "steps/s": "10", "images/s": "1000", "floor": "12.0 %"}
    assert [column.header for column in bench_text.table_of([row], 120).columns] == list(row)
    narrow = bench_text.table_of([row], 40)
    assert [column.header for column in narrow.columns] == ["case", "ms a step", "floor"]


def test_a_case_that_fails_does_not_hide_the_others(cli, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cli("bench", *TINY, "--only", "natural-remove", "--json", "found.json").returncode == 0
    report = json.loads((tmp_path / "found.json").read_text())
    broken = {**report["cases"][0], "case": "pgd-10", "problem": "memory does not suffice", "domcli": None}
    broken |= {"floor": None, "evaluation": None}
    for cases, code in (([broken, *report["cases"]], 0), ([broken], 1)):
        message = {"kind": "report", "report": {**report, "complete": False, "cases": cases}}
        script = f"print('a library greets'); print({json.dumps(message)!r})"
        monkeypatch.setattr(benching, "PROCESS", (sys.executable, "-c", script))
        done = cli("bench")
        assert done.returncode == code
        assert "pgd-10: memory does not suffice" in done.stdout
        assert ("natural-remove" in done.stdout) == (code == 0)
        assert "not every case could be measured (log: " in done.stderr
        assert ("error: nothing could be measured: memory does not suffice" in done.stderr) == (code == 1)
