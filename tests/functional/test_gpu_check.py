"""benchmarks/gpu/check.sh: through all of it on a CPU, and what becomes of stages that fail, hang, or have no time."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import check_limits
import gpu_tests
import psutil
import pytest
from check_outcome import Plan, Stage
from check_run import Check, told_at
from check_stages import NAMES, PATIENCE, STAGES
from check_summary import TRY
from gpu_tests import counts_of, problems_of
from stage_report import Place, Report

GPU = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"
ABOUT = {"device": "a device", "torch": "2", "driver": "1"}


def check_sh(*arguments: str, temporary: Path, home: Path | None = None, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHON": sys.executable, "TMPDIR": str(temporary), "HOME": str(home or temporary)}
    for name in ("PYTHONPATH", "XDG_CACHE_HOME", "DOMCLI_RUNS_DIR"):
        environment.pop(name, None)
    environment.update(variables)
    return subprocess.Popen(
        [str(GPU / "check.sh"), *arguments],
        env=environment,
        cwd=temporary,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def fakes(
    temporary: Path, *arguments: str, environment: dict[str, str] | None = None, **scripts: str
) -> subprocess.Popen[str]:
    """Check with scripts in the place of stages."""
    inherited = {**os.environ, "FAKE_STAGES": json.dumps(scripts), "TMPDIR": str(temporary)}
    inherited.pop("PYTHON", None)
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("check_with_fake_stages.py")), *arguments],
        env={**inherited, **(environment or {})},
        cwd=temporary,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def shell(
    name: str, script: str, *, limit: float = 60.0, essential: bool = True, alone: bool = True, decides: bool = False
) -> Stage:
    return Stage(name, limit, ("sh", "-c", script), "", f"mend {name}", essential, alone, decides)


def checked(output: Path, *stages: Stage, budget: float = 600.0, others: tuple[Stage, ...] = ()) -> Check:
    check = Check(Plan(stages, output, ABOUT, budget, others))
    check.run({stage.name: dict(os.environ) for stage in stages}, together=2)
    return check


def results(output: Path) -> dict[str, dict[str, object]]:
    return all_of(output)["stages"]


def all_of(output: Path) -> dict[str, object]:
    return json.loads((output / "results.json").read_text())


def summary_of(output: Path) -> list[str]:
    return [line.strip() for line in (output / "summary.txt").read_text().splitlines()]


def test_all_of_it_on_a_cpu(tmp_path):
    home, output = tmp_path / "home", tmp_path / "output"
    home.mkdir()
    process = check_sh("--cpu", "--budget", "3000", "--output", str(output), temporary=tmp_path, home=home)
    shown, err = process.communicate()
    assert process.returncode == 0, shown + err
    content = json.loads((output / "results.json").read_text())
    assert {name: stage["state"] for name, stage in content["stages"].items()} == dict.fromkeys(NAMES, "ok")
    assert (content["complete"], content["right"]) == (True, True)
    assert (content["schema"], content["size"], content["images"]) == (2, "tiny", "made")
    assert all(stage["found"] and stage["lines"] for stage in content["stages"].values())
    assert len(content["stages"]["epochs"]["found"]["presets"]) == 18
    summary = (output / "summary.txt").read_text()
    assert shown.endswith(summary)
    lines = shown.splitlines()
    assert lines[0] == TRY
    assert sorted(line.partition(" ")[0] for line in lines[1 : 1 + len(NAMES)]) == sorted(NAMES)
    assert summary.splitlines()[2] == TRY
    assert "says nothing of a GPU" in lines[-1]
    for untrue in ("CUDA graphs", "PGD-20", "hours", "keep the measurements"):
        assert untrue not in shown
    assert "PGD-2 " in shown
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


def test_a_process_that_does_not_show_yet_what_it_carries_is_waited_for(tmp_path, monkeypatch):
    class Started:
        """About to become another program the first times that somebody looks."""

        looks, killed = 0, False

        def environ(self):
            self.looks += 1
            return {check_limits.MARK: "mark"} if self.looks > 2 and not self.killed else {}

        def create_time(self):
            return 0.0 if self.killed else 10.0

        ppid, status = (lambda self: 1), (lambda self: "running")

        def kill(self):
            self.killed = True

    process = Started()
    monkeypatch.setattr(psutil, "process_iter", lambda: [process])
    monkeypatch.setattr(psutil, "wait_procs", lambda processes, timeout: None)
    check_limits.end_marked("mark", since=5.0)
    assert process.killed


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
def test_without_time_a_stage_is_left_out(tmp_path, monkeypatch, essential, code):
    for module in ("check_run", "check_summary"):
        monkeypatch.setattr(f"{module}.LEAST_SECONDS", 1.0)
    stages = (
        shell("long", "sleep 1000", essential=False),
        shell("late", f"touch {tmp_path}/begun", essential=essential),
    )
    check = checked(tmp_path / "output", *stages, budget=2.0)
    found = results(tmp_path / "output")
    assert [stage["state"] for stage in found.values()] == ["no time left", "not begun"]
    assert found["long"]["limit"] <= 2.0
    assert not (tmp_path / "begun").exists()
    assert check.exit_code == code
    content, lines = all_of(tmp_path / "output"), summary_of(tmp_path / "output")
    assert (content["complete"], content["right"]) == (False, None if essential else True)
    assert "not done: late (the budget of 2 s is too small for more)" in lines
    assert "the budget of 2 s was too small: what was not done is allowed 120 s in all" in lines
    assert "what was not done: check.sh 120.0 long,late" in lines
    assert sum("PROBLEM" in line for line in lines) == 1
    assert lines[-1].startswith("not known: late was not done" if essential else "right: ")


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
    assert process.returncode == 128 + signal.SIGTERM
    assert "not done: steps (the check was stopped)" in shown
    assert {name: one["state"] for name, one in results(output).items()} == {"device": "stopped", "steps": "not begun"}
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
        (["--only", ","], "there is no stage ''; the stages are device,"),
        (["--skip", ","], "there is no stage ''; the stages are device,"),
        (["--skip", ",".join(NAMES)], "no stage is left"),
        (["--budget", "0"], "--budget must be greater than 0"),
        (["--images", "missing.tar"], "there is no archive missing.tar"),
        (["--cpu", "--images", "/bin/sh"], "/bin/sh cannot be unpacked: file could not be opened successfully"),
        (["--cpu", "--output", "/proc/nothing"], "nothing can be written in /proc/nothing"),
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


def test_the_list_shows_the_limits_that_hold(tmp_path):
    for options, factor in ([], 1), (["--cpu"], PATIENCE):
        shown, _ = check_sh("--list", *options, temporary=tmp_path).communicate()
        assert [float(line.split()[1]) for line in shown.splitlines()] == [factor * stage.limit for stage in STAGES]


def test_without_a_gpu_it_is_refused_at_once(tmp_path):
    environment = {"CUDA_VISIBLE_DEVICES": ""}  # where there is one, it is hidden
    process = check_sh("--output", str(tmp_path / "output"), temporary=tmp_path, **environment)
    shown, err = process.communicate()
    assert process.returncode == 2
    assert re.fullmatch(r"check\.sh: error: .*; --cpu tries the program out without one\n", err)
    assert shown == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--only", "tests,steps"]])
def test_where_only_pytorch_can_tell_the_device_decides(tmp_path, options):
    began = f"touch {tmp_path}/begun"
    process = fakes(tmp_path, "--output", "out", *options, device="echo no CUDA; exit 1", tests=began, steps=began)
    shown, err = process.communicate()
    assert process.returncode == 2
    assert err.endswith("exit code 1: no CUDA; --cpu tries the program out without one\n")
    assert not (tmp_path / "begun").exists()
    states = {name: one["state"] for name, one in results(tmp_path / "out").items()}
    assert states.pop("device") == "failed"
    assert set(states.values()) == {"not begun"}
    assert shown.count("\nnot done: ") == 1
    assert fakes(tmp_path, "--output", "out", *options, tests=began).wait() == 0
    assert (tmp_path / "begun").exists()


def test_nothing_is_begun_after_a_stage_that_decides_has_failed(tmp_path):
    output = tmp_path / "output"
    stages = (shell("decides", "exit 1", decides=True), shell("one", "exit 0"), shell("two", "exit 0", alone=False))
    assert checked(output, *stages).exit_code == 1
    assert [one["state"] for one in results(output).values()] == ["failed", "not begun", "not begun"]
    assert "not done: one, two (nothing else counts before decides is ok)" in summary_of(output)
    assert summary_of(output)[-1] == "wrong: decides; not known: one, two were not done"


def test_what_is_right_is_about_all_stages_that_there_are(tmp_path):
    output, good = tmp_path / "output", shell("good", "exit 0")
    for others, right, verdict in (
        ((), True, "right: "),
        ((shell("measures", "", essential=False),), True, "right: "),
        ((shell("tells", ""),), None, "not known: tells was not done"),
    ):
        assert checked(output, good, others=others).exit_code == 0
        assert (all_of(output)["complete"], all_of(output)["right"]) == (not others, right)
        assert summary_of(output)[-1].startswith(verdict)
    assert checked(output, shell("bad", "exit 1"), others=(good,)).exit_code == 1
    assert all_of(output)["right"] is False
    assert summary_of(output)[-1] == "wrong: bad; not known: good was not done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_what_is_missing_can_be_copied(tmp_path, until, number):
    archive, output = tmp_path / "some images.tar", tmp_path / "out"
    with tarfile.open(archive, "w") as tar:
        for part in ("train", "test"):
            tar.addfile(tarfile.TarInfo(f"./{part}/a/1.png"))
    options = ["--cpu", "--images", archive.name, "--output", "out", "--budget", "500", "--skip", "tests,runs"]
    process = fakes(tmp_path, *options, environment={"PYTHON": "/some python"}, repeat="sleep 1000", equal="sleep 1000")
    until(lambda: (output / "stages" / "repeat.log").exists() and (output / "stages" / "equal.log").exists())
    process.send_signal(number)
    shown, err = process.communicate()
    assert (process.returncode, err) == (128 + number, "")
    hint = next(line for line in shown.splitlines() if "what was not done" in line).partition(": ")[2]
    missing = ",".join(name for name in NAMES if name not in ("device", "tests", "runs"))
    given = ["--cpu", "--images", str(archive), "--budget", "500", "--output", f"{output}-rest", "--only", missing]
    assert shlex.split(hint) == ["PYTHON=/some python", str(GPU / "check.sh"), *given]
    assert hint.startswith("PYTHON='/some python' ")


def test_measurements_on_a_gpu_are_to_be_kept_if_nothing_failed(tmp_path):
    output = tmp_path / "output"
    advice = f"keep the measurements: cp {output}/results.json {GPU.parent}/results/a-device.json"
    checked(output, shell("measures", "exit 0", essential=False))
    assert advice in summary_of(output)
    checked(output, shell("tells", "exit 0"))
    assert not any("keep" in line for line in summary_of(output))
    checked(output, shell("measures", "exit 0", essential=False), shell("tells", "exit 1"))
    assert not any("keep" in line for line in summary_of(output))


def test_what_an_earlier_check_left_in_the_folder_is_removed(tmp_path):
    old = tmp_path / "out" / "stages"
    old.mkdir(parents=True)
    for name in NAMES:
        (old / f"{name}.log").write_text("old")
        (old / f"{name}.json").write_text("{}")
    fakes(tmp_path, "--output", "out", "--only", "device").communicate()
    assert [path.name for path in old.iterdir()] == ["device.log"]
    assert (old / "device.log").read_text() == ""


@pytest.mark.parametrize(
    ("skips", "problem"),
    [
        ([], None),
        (["no kernels"], None),
        (["no CUDA device"], "tests that need a GPU found none and were skipped: 1"),
        (["slow", "slow"], "more tests were skipped (2) than have passed (1)"),
    ],
)
def test_tests_that_are_skipped_on_a_gpu_are_told(tmp_path, skips, problem):
    skipped = "".join(f'<testcase name="s"><skipped message="{why}"/></testcase>' for why in skips)
    (tmp_path / "tests.xml").write_text(f'<testsuite><testcase name="a"/>{skipped}</testsuite>')
    counts, failed = counts_of(tmp_path / "tests.xml")
    assert (counts["passed"], counts["skipped"], failed) == (1, len(skips), [])
    problems = list(problems_of(counts))
    assert len(problems) == (problem is not None)
    assert (problem or "") in "".join(problems)


def test_without_pytest_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    report = Report(tmp_path / "told.json")
    gpu_tests.run(Place(True, tmp_path, None), report)
    assert [problem.partition(";")[0] for problem in report.problems] == ["pytest is not installed"]


def test_an_interrupted_check_starts_nothing_more(tmp_path):
    check = Check(Plan([shell("waits", "exit 0")], tmp_path / "output", ABOUT, 600.0))
    check.ask_to_stop(signal.SIGINT)
    check.run({"waits": dict(os.environ)}, together=1)
    assert results(tmp_path / "output")["waits"]["state"] == "not begun"
    assert check.exit_code == 130
