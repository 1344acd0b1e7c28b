"""benchmarks/gpu/check.sh: through all of it on a CPU, and what becomes of stages that fail, hang, or have no time."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import psutil
import pytest

from domcli.errors import DataError

GPU = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"
sys.path.append(str(GPU))
from check_run import Check, Stage, told_at  # noqa: E402
from check_stages import NAMES  # noqa: E402
from images import make, unpack  # noqa: E402
from stage_report import Report  # noqa: E402

ABOUT = {"device": "a device", "torch": "2", "driver": "1"}


def check_sh(*arguments: str, temporary: Path, home: Path | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHON": sys.executable, "TMPDIR": str(temporary), "HOME": str(home or temporary)}
    for name in ("PYTHONPATH", "XDG_CACHE_HOME", "DOMCLI_RUNS_DIR"):
        environment.pop(name, None)
    return subprocess.Popen(
        [str(GPU / "check.sh"), *arguments],
        env=environment,
        cwd=temporary,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def shell(name: str, script: str, *, limit: float = 60.0, essential: bool = True, alone: bool = True) -> Stage:
    return Stage(name, limit, ("sh", "-c", script), "", f"mend {name}", essential, alone)


def checked(output: Path, *stages: Stage, budget: float = 600.0) -> Check:
    check = Check(stages, output, ABOUT, budget)
    check.run({stage.name: dict(os.environ) for stage in stages}, together=2)
    return check


def results(output: Path) -> dict[str, dict[str, object]]:
    return json.loads((output / "results.json").read_text())["stages"]


def test_all_of_it_on_a_cpu(tmp_path):
    home, output = tmp_path / "home", tmp_path / "output"
    home.mkdir()
    process = check_sh("--cpu", "--budget", "3000", "--output", str(output), temporary=tmp_path, home=home)
    shown, err = process.communicate()
    assert process.returncode == 0, shown + err
    content = json.loads((output / "results.json").read_text())
    assert {name: stage["state"] for name, stage in content["stages"].items()} == dict.fromkeys(NAMES, "ok")
    assert content["complete"]
    assert content["right"]
    assert (content["schema"], content["size"], content["images"]) == (1, "tiny", "made")
    assert all(stage["found"] and stage["lines"] for stage in content["stages"].values())
    assert len(content["stages"]["epochs"]["found"]["presets"]) == 18
    summary = (output / "summary.txt").read_text()
    assert shown.endswith(summary)
    assert [line.partition(" ")[0] for line in shown.splitlines()[: len(NAMES)]].count("tests") == 1
    assert "GPU-" not in json.dumps(content)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "output"]
    assert list(home.iterdir()) == []


def test_a_stage_over_its_limit_is_killed_with_all_that_it_started(tmp_path):
    script = f"""
        setsid sleep 1000 & echo $! >> {tmp_path}/pids
        sleep 1000 & echo $! >> {tmp_path}/pids
        echo the last word; sleep 1000"""
    check = checked(tmp_path / "output", shell("hangs", script, limit=2.0), shell("after", "exit 0"))
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)
    found = results(tmp_path / "output")
    assert (found["hangs"]["state"], found["after"]["state"]) == ("over its limit", "ok")
    assert "the last word" in str(found["hangs"]["problems"])
    assert check.exit_code == 1


def test_what_a_stage_leaves_behind_is_ended_too(tmp_path):
    checked(tmp_path / "output", shell("leaves", f"setsid sleep 1000 & echo $! > {tmp_path}/pid"))
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_it_goes_on_after_a_failure_and_keeps_what_it_has(tmp_path):
    output = tmp_path / "output"
    kept = f'grep -q \'"state": "failed"\' {output}/results.json && grep -q "fails  *failed" {output}/log.txt'
    check = checked(output, shell("fails", "echo no such thing; exit 3"), shell("looks", kept))
    found = results(output)
    assert (found["fails"]["state"], found["looks"]["state"]) == ("failed", "ok")
    assert found["fails"]["problems"] == ["exit code 3: no such thing"]
    assert check.exit_code == 1
    assert "fails: mend fails" in (output / "summary.txt").read_text()
    assert "no such thing" in (output / "log.txt").read_text()


def test_a_command_that_is_not_there_is_a_failure(tmp_path):
    stages = (Stage("lost", 60, (str(tmp_path / "nothing"),), "", ""), shell("after", "exit 0"))
    assert checked(tmp_path / "output", *stages).exit_code == 1
    assert [stage["state"] for stage in results(tmp_path / "output").values()] == ["failed", "ok"]


@pytest.mark.parametrize(("essential", "code"), [(True, 1), (False, 0)])
def test_without_time_a_stage_is_left_out(tmp_path, essential, code):
    stages = (
        shell("long", "sleep 1000", essential=False),
        shell("late", f"touch {tmp_path}/begun", essential=essential),
    )
    check = checked(tmp_path / "output", *stages, budget=9.0)
    found = results(tmp_path / "output")
    assert [stage["state"] for stage in found.values()] == ["no time left", "no time left"]
    assert found["long"]["limit"] <= 9.0
    assert not (tmp_path / "begun").exists()
    assert check.exit_code == code
    assert not json.loads((tmp_path / "output" / "results.json").read_text())["complete"]
    assert "check.sh --only long,late" in (tmp_path / "output" / "summary.txt").read_text()


def test_stages_that_measure_nothing_run_side_by_side_and_others_alone(tmp_path):
    # Each opens its end of the same pipe: one after the other, neither would come to its end.
    os.mkfifo(tmp_path / "pipe")
    check = checked(
        tmp_path / "output",
        shell("reads", f"cat {tmp_path}/pipe; touch {tmp_path}/busy; sleep 0.5; rm {tmp_path}/busy", alone=False),
        shell("writes", f"echo here > {tmp_path}/pipe", alone=False),
        shell("alone", f"test ! -e {tmp_path}/busy"),
    )
    assert check.exit_code == 0, (tmp_path / "output" / "summary.txt").read_text()


def test_what_a_stage_tells_is_in_the_results_even_if_it_is_killed(tmp_path):
    output = tmp_path / "output"
    (output / "stages").mkdir(parents=True)
    report = Report(told_at(output, "told"))
    report.keep("ms", 3.25)
    report.line("3.25 ms a step")
    report.expect(True, "not this")
    report.expect(False, "it is slow")
    check = checked(output, shell("told", "exit 0"))
    found = results(output)["told"]
    assert (found["state"], found["found"], found["problems"]) == ("failed", {"ms": 3.25}, ["it is slow"])
    summary = (output / "summary.txt").read_text()
    assert summary.index("3.25 ms a step") < summary.index("PROBLEM it is slow") < summary.index("mend told")
    assert check.exit_code == 1


def test_asked_to_stop_it_ends_what_is_at_work_and_tells_what_it_has(tmp_path, until):
    output = tmp_path / "output"
    arguments = ("--cpu", "--only", "device,steps", "--output", str(output))
    process = check_sh(*arguments, temporary=tmp_path)
    until(lambda: (output / "stages" / "device.log").exists())
    process.send_signal(signal.SIGTERM)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped" in shown
    assert results(output)["device"]["state"] == "stopped"
    assert not [one for one in psutil.process_iter() if str(output) in " ".join(_words(one))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output"]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "device,nonsense"], "there is no stage 'nonsense'"),
        (["--skip", ",".join(NAMES)], "no stage is left"),
        (["--budget", "0"], "--budget must be greater than 0"),
        (["--images", "missing.tar"], "there is no archive missing.tar"),
        (["--output", "/proc/nothing"], "nothing can be written in /proc/nothing"),
    ],
)
def test_bad_usage_is_a_sentence_and_exit_code_2(tmp_path, arguments, said):
    process = check_sh(*arguments, temporary=tmp_path)
    shown, err = process.communicate()
    assert process.returncode == 2
    assert said in err.splitlines()[-1]
    assert shown == ""
    assert list(tmp_path.iterdir()) == []


def test_the_list_names_the_chosen_stages(tmp_path):
    shown, _ = check_sh("--list", "--skip", "shapes", temporary=tmp_path).communicate()
    assert [line.split()[0] for line in shown.splitlines()] == [name for name in NAMES if name != "shapes"]


def test_an_archive_is_unpacked_whole_or_not_at_all(tmp_path):
    made = make(tmp_path / "made", train=20, test=10)
    archive = tmp_path / "images.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        for part in ("train", "test"):
            tar.add(made / part, part)
    folder = unpack(archive, tmp_path / "unpacked")
    names = sorted(path.relative_to(made) for path in made.rglob("*.png"))
    assert len(names) == 30
    assert sorted(path.relative_to(folder) for path in folder.rglob("*.png")) == names
    assert unpack(tmp_path / "no longer needed", folder) == folder


@pytest.mark.parametrize("broken", ["no test", "outside", "cut off"])
def test_an_archive_that_is_amiss_leaves_nothing(tmp_path, broken):
    archive, place = tmp_path / "images.tar", tmp_path / "place"
    place.mkdir()
    with tarfile.open(archive, "w") as tar:
        name = tarfile.TarInfo("../outside" if broken == "outside" else "train/a/1.jpg")
        name.size = 3000
        tar.addfile(name, io.BytesIO(b"x" * 3000))
    if broken == "cut off":
        archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"images\.tar"):
        unpack(archive, place / "unpacked")
    assert list(place.iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_an_interrupted_check_starts_nothing_more(tmp_path):
    check = Check([shell("waits", "exit 0")], tmp_path / "output", ABOUT, 600.0)
    check._stop.set()
    check.run({"waits": dict(os.environ)}, together=1)
    assert results(tmp_path / "output")["waits"]["state"] == "stopped"
    assert check.exit_code == 1
