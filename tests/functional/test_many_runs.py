"""Many runs at once, with real processes: slots, order, killed supervisors, closed terminals, reboots."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from at_work import supervisors
from terminal import Terminal

from domcli import devices, finding, process
from domcli.rundir import RunDirectory
from domcli.runs import Run, read_run

SHORT = ("--set", "train.epochs=4")
SIX = ("pgd-dom-re", "natural-dom-re", "--seeds", "0-2", *SHORT, "--jobs-per-gpu", "2")


def runs_of(folder: Path) -> list[Run]:
    return [read_run(directory) for directory in finding.list_runs(folder / "runs")]


def trainers(folder: Path) -> list[psutil.Process]:
    """Return the trainers at work on runs of a folder, as the operating system sees them."""
    found = []
    for one in psutil.process_iter(["cmdline", "status"]):
        words = one.info["cmdline"] or []
        if any(Path(word).name == "fake_trainer.py" for word in words) and any(str(folder) in word for word in words):
            found.append(one)
    return [one for one in found if one.info["status"] != psutil.STATUS_ZOMBIE]


class Watch:
    """Looks at a folder until its queue is empty; remembers how many trainers it saw at a time."""

    def __init__(self, folder: Path, cli) -> None:
        self.folder, self.cli = folder, cli
        self.most = 0

    def until_done(self, count: int, meanwhile=lambda: None) -> list[Run]:
        deadline = time.monotonic() + 120
        while True:
            self.most = max(self.most, len(trainers(self.folder)))
            meanwhile()
            found = runs_of(self.folder)
            if len(found) == count and all(run.status == "finished" and run.ticket is None for run in found):
                return found
            assert time.monotonic() < deadline, [(run.directory.name, run.status) for run in found]
            time.sleep(0.02)


def started_in_queue_order(runs: list[Run], tickets: dict[str, tuple]) -> bool:
    by_launch = sorted(runs, key=lambda run: run.process.launched)
    order = [tickets[run.directory.name] for run in by_launch]
    return order == sorted(order)


def tickets_of(runs: list[Run]) -> dict[str, tuple]:
    return {run.directory.name: run.ticket.order for run in runs if run.ticket}


def test_twelve_runs_and_two_slots(cli, tmp_path):
    """Two commands at the same instant, the supervisor killed three times, no terminal left.

    Each command's runs begin in their order; those of both do from the first supervisor on that found all of them.
    """
    cli.play("brisk")
    commands = [subprocess.Popen(cli.command("run", *SIX, "--detach")) for _ in range(2)]
    tickets: dict[str, tuple] = {}
    killed: list[int] = []
    waited: set[str] = set()

    def meanwhile() -> None:
        found = runs_of(tmp_path)
        tickets.update(tickets_of(found))
        done = sum(run.status == "finished" for run in found)
        for one in supervisors(tmp_path):
            ready = len(tickets) == 12 and done >= 3 * (len(killed) + 1)
            if len(killed) < 3 and ready and one.pid not in killed:
                killed.append(one.pid)
                one.kill()
                one.wait()
                if len(killed) == 1:
                    waited.update(run.directory.name for run in runs_of(tmp_path) if run.process is None)
        if killed and not supervisors(tmp_path):
            cli("runs")

    watch = Watch(tmp_path, cli)
    runs = watch.until_done(12, meanwhile)
    assert [command.wait() for command in commands] == [0, 0]
    assert len(killed) == 3
    assert watch.most == 2
    assert len(tickets) == 12
    for queued in {order[0] for order in tickets.values()}:
        together = [run for run in runs if tickets[run.directory.name][0] == queued]
        assert len(together) == 6
        assert started_in_queue_order(together, tickets)
    assert len(waited) >= 3
    assert started_in_queue_order([run for run in runs if run.directory.name in waited], tickets)
    assert all(len(run.state.epochs) == 4 for run in runs)


def test_the_queue_goes_on_when_its_terminal_is_closed(cli, tmp_path, until):
    command = cli.begin("run", *SIX, scenario="brisk")
    until(lambda: trainers(tmp_path))
    command.send_signal(signal.SIGHUP)
    command.communicate(timeout=60)
    watch = Watch(tmp_path, cli)
    watch.until_done(6)
    assert watch.most <= 2


def test_the_supervisor_ends_when_nothing_is_left(cli, tmp_path, until):
    assert cli("run", "pgd-dom-re", *SHORT, scenario="finish").returncode == 0
    until(lambda: not supervisors(tmp_path))
    assert trainers(tmp_path) == []


def test_a_failure_does_not_stop_the_queue_and_is_retried(cli, tmp_path):
    done = cli("run", "pgd-dom-re", *SHORT, "--seeds", "0,1", "--max-retries", "4", "--json", scenario="die")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(run["state"], run["epoch"]) for run in found] == [("finished", 4)] * 2
    assert "pgd-dom-re-seed0: retry 4 of 4" in done.stderr


def test_retries_come_to_an_end(cli, tmp_path):
    done = cli("run", "pgd-dom-re", *SHORT, "--max-retries", "1", "--json", scenario="die")
    assert done.returncode == 1
    assert [(run["state"], run["epoch"]) for run in json.loads(done.stdout)] == [("lost", 2)]


def test_a_killed_trainer_is_lost_at_the_next_look_and_resumable(cli, tmp_path, until):
    cli("run", "pgd-dom-re", *SHORT, "--detach", scenario="wait")
    (run,) = finding.list_runs(tmp_path / "runs")
    until(lambda: read_run(run).state.epochs)
    os.kill(run.read_process().pid, signal.SIGKILL)
    until(lambda: process.liveness(run.read_process()) == "gone")
    (shown,) = cli.json("runs", "--json")
    assert shown["state"] == "lost"
    assert cli("retry", scenario="finish").returncode == 0
    assert read_run(run).status == "finished"
    assert [epoch.epoch for epoch in read_run(run).state.epochs] == [1, 2, 3, 4]


def test_after_a_reboot_nothing_foreign_is_touched_and_nothing_forgotten(cli, tmp_path, until):
    cli("run", *SIX, "--detach", scenario="wait")
    until(lambda: sum(bool(run.state.epochs) for run in runs_of(tmp_path)) == 2)
    for one in [*supervisors(tmp_path), *trainers(tmp_path)]:
        one.kill()
    until(lambda: not trainers(tmp_path))
    stranger = subprocess.Popen(["sleep", "600"])
    for run in runs_of(tmp_path):
        if run.process is not None:
            run.directory.write_process(msgspec.structs.replace(run.process, pid=stranger.pid))
    states = [run.status for run in runs_of(tmp_path)]
    assert sorted(states) == ["lost", "lost", "queued", "queued", "queued", "queued"]
    lost = [run.directory.name for run in runs_of(tmp_path) if run.status == "lost"]
    for command in ("stop", "kill"):
        done = cli(command, *lost)
        assert done.returncode == 2
        assert "has no trainer to stop" in done.stderr
    assert stranger.poll() is None
    cli.play("finish")
    until(lambda: cli("runs") and all(run.status in ("lost", "finished") for run in runs_of(tmp_path)))
    assert cli("resume", "--state", "lost").returncode == 0
    assert [run.status for run in runs_of(tmp_path)] == ["finished"] * 6
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.parametrize("command", ["stop", "kill"])
def test_stop_and_kill_by_glob_and_state(cli, tmp_path, until, command):
    cli("run", *SIX, "--detach", scenario="wait")
    until(lambda: sum(bool(run.state.epochs) for run in runs_of(tmp_path)) == 2)
    assert cli(command, "natural-*").returncode == 0
    assert cli(command, "--state", "queued").returncode == 0
    assert cli(command, "--state", "running").returncode == 0
    until(lambda: not trainers(tmp_path))
    states = {run.directory.name: run.status for run in runs_of(tmp_path)}
    at_work = "stopped" if command == "stop" else "lost"
    assert states == {
        "pgd-dom-re-seed0": at_work,
        "pgd-dom-re-seed1": at_work,
        "pgd-dom-re-seed2": "stopped",
        "natural-dom-re-seed0": "stopped",
        "natural-dom-re-seed1": "stopped",
        "natural-dom-re-seed2": "stopped",
    }
    until(lambda: not supervisors(tmp_path))


def test_follow_looks_on_again(cli, tmp_path, until):
    cli("run", "pgd-dom-re", *SHORT, "--detach", scenario="wait")
    (run,) = finding.list_runs(tmp_path / "runs")
    until(lambda: read_run(run).state.epochs)
    follower = cli.begin("follow", "--json")
    assert "pgd-dom-re-seed0" in follower.stderr.readline()
    assert cli("stop", "pgd").returncode == 0
    out, err = follower.communicate(timeout=60)
    assert (json.loads(out)[0]["state"], follower.returncode) == ("stopped", 1)
    assert "was stopped; go on with: domcli resume" in err
    assert "no run in" in cli("follow").stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, 0)])
def test_leaving_follow_touches_nothing(cli, tmp_path, until, number, code):
    cli("run", "pgd-dom-re", "natural-dom-re", *SHORT, "--detach", scenario="wait")
    until(lambda: any(run.state.epochs for run in runs_of(tmp_path)))
    follower = cli.begin("follow", "--json")
    assert "pgd-dom-re-seed0" in follower.stderr.readline()
    follower.send_signal(number)
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == code
    assert [one["state"] for one in json.loads(out)] == ["running", "queued"]
    assert "2 runs go on in the background: pgd-dom-re-seed0, natural-dom-re-seed0\n" in err
    assert "stopping" not in err
    assert [run.status for run in runs_of(tmp_path)] == ["running", "queued"]


def test_follow_says_that_it_only_looks_on(cli):
    cli.play("wait")
    cli("run", "pgd-dom-re", "natural-dom-re", *SHORT, "--detach", scenario="wait")
    terminal = Terminal(cli.command("follow"), columns=120)
    terminal.wait_for(r"\n *Ctrl-C leaves them at work")
    assert "stops" not in terminal.text
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert "only looks on: Ctrl-C leaves and touches nothing" in " ".join(cli("follow", "--help").stdout.split())


def test_a_dry_run_starts_nothing_and_estimates_from_what_was_timed(cli, tmp_path):
    arguments = ("run", "pgd-dom-re", "natural-dom-re", "--seeds", "0,1", *SHORT, "--dry-run")
    done = cli(*arguments, "--json", scenario="finish")
    found = json.loads(done.stdout)
    assert [run["name"] for run in found["runs"]] == [
        f"{preset}-seed{seed}" for preset in ("pgd-dom-re", "natural-dom-re") for seed in (0, 1)
    ]
    assert [run["seconds"] for run in found["runs"]] == [None] * 4
    assert found["seconds"] is None
    assert list(tmp_path.iterdir()) == []
    assert "not known: no run" not in done.stderr
    assert cli(*arguments).stderr.startswith(
        "their times are not known: no run with these settings has been timed here"
    )


def test_an_unknown_run_does_not_hide_the_time_of_those_that_are_known(cli, tmp_path, monkeypatch):
    cli("run", "pgd-dom-re", *SHORT, scenario="finish")
    (timed,) = runs_of(tmp_path)
    monkeypatch.setattr(devices, "cpu_name", lambda: timed.state.started.device_name)
    arguments = ("run", "pgd-dom-re", "natural-dom-re", "--seeds", "1,2", *SHORT, "--dry-run")
    found = cli.json(*arguments, "--json")
    assert [run["seconds"] for run in found["runs"]] == [10.0, 10.0, None, None]
    assert (found["seconds"], found["known_seconds"]) == (None, 20.0)
    done = cli(*arguments)
    assert done.stdout.splitlines()[-1].endswith("about 0:00:20 for 2 of them, the others are not known")
    assert done.stderr.startswith(
        "the times of 2 of them are not known: no run with these settings has been timed here"
    )
    assert "4 epochs " in done.stdout
    assert "1 epoch " in cli("run", "pgd-dom-re", "--set", "train.epochs=1", "--dry-run").stdout


def test_a_dry_run_names_runs_as_the_run_does(cli, tmp_path):
    def names(*arguments):
        return [run["name"] for run in cli.json("run", *arguments, "--dry-run", "--json")["runs"]]

    digits = ("pgd-dom-re", "--set", "data.dataset=digits", "--set", "train.epochs=2")
    assert names(*digits) == ["pgd-dom-re-seed0"]
    cifar = ("pgd-dom-re", "--quick", "--set", "data.dataset=cifar10", "--seeds", "3")
    assert names(*cifar) == ["pgd-dom-re-quick-seed3"]
    for arguments in (digits, cifar):
        wanted = names(*arguments)
        cli("run", *arguments, "--device", "cpu", scenario="finish")
        assert (tmp_path / "runs" / wanted[0]).is_dir()
        assert names(*arguments) == [f"{wanted[0]}-2"]


@pytest.mark.parametrize("manner", [("--dry-run",), ("--detach",)])
def test_strengths_on_another_scale_are_warned_of_and_run(cli, manner):
    strengths = ("--set", "attack.epsilon=.03", "--set", "evaluation.alpha=0.01")
    done = cli("run", "pgd-dom-re", *SHORT, *strengths, "--seeds", "0,1", *manner, scenario="finish")
    assert done.returncode == 0
    warned = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert [line.split()[1] for line in warned] == ["attack.epsilon", "evaluation.alpha"]


def test_all_settings_of_the_paper_are_one_command(cli):
    found = cli.json("run", "--all-paper", "--seeds", "0,1,2", "--dry-run", "--json")["runs"]
    assert len({run["name"] for run in found}) == 54
    assert len({run["preset"] for run in found}) == 18
    globbed = cli.json("run", "natural-dom-*", "--dry-run", "--json")["runs"]
    assert [run["preset"] for run in globbed] == ["natural-dom-re", "natural-dom-augmix", "natural-dom-randaugment"]


def test_a_run_directory_that_appears_whole_is_queued_at_once(cli, tmp_path):
    cli("run", "pgd-dom-re", *SHORT, "--detach", "--seeds", "0,1", scenario="wait")
    assert RunDirectory(tmp_path / "runs" / "pgd-dom-re-seed1").waiting_ticket() is not None


def test_a_queue_that_nobody_can_advance_says_so(cli):
    command = cli.begin("run", "pgd-dom-re", *SHORT, scenario="no supervisor")
    line = next(line for line in command.stderr if "the queue is not advanced" in line)
    assert "as the scenario says" in Path(line.rstrip().rpartition(" ")[2]).read_text()
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert command.returncode == 130


def test_a_trainer_killed_before_it_began_again_is_lost(cli, tmp_path, until):
    command = cli.begin("run", "pgd-dom-re", *SHORT, scenario="wait")
    (run,) = wait_for_runs(tmp_path, until, 1)
    until(lambda: read_run(run).state.epochs)
    assert cli("stop", "pgd").returncode == 0
    command.communicate(timeout=60)
    assert cli("resume", "pgd", "--detach", scenario="load").returncode == 0
    until(lambda: read_run(run).status == "starting" and "downloading" in run.log.read_text())
    os.kill(run.read_process().pid, signal.SIGKILL)
    until(lambda: read_run(run).ticket is None)
    (shown,) = cli.json("runs", "--json")
    assert (shown["state"], shown["exit_code"]) == ("lost", -signal.SIGKILL)
    assert cli("retry", scenario="finish").returncode == 0


def wait_for_runs(folder: Path, until, count: int) -> list[RunDirectory]:
    until(lambda: len(finding.list_runs(folder / "runs")) == count)
    return finding.list_runs(folder / "runs")


@pytest.mark.parametrize(("command", "word"), [("stop", "stopped"), ("kill", "killed")])
def test_a_glob_passes_over_what_has_ended(cli, tmp_path, until, command, word):
    assert cli("run", "pgd-dom-re", *SHORT, "--name", "done", scenario="finish").returncode == 0
    cli("run", "pgd-dom-re", *SHORT, "--seeds", "0,1", "--detach", scenario="wait")
    first = RunDirectory(tmp_path / "runs" / "pgd-dom-re-seed0")
    until(lambda: read_run(first).state.epochs)
    done = cli(command, "*")
    assert done.returncode == 0
    assert f"pgd-dom-re-seed0 was {word}" in done.stderr
    assert "pgd-dom-re-seed1 was taken out of the queue" in done.stderr
    assert "error" not in done.stderr
    refused = cli(command, "done")
    assert refused.returncode == 2
    assert refused.stderr == "error: done has no trainer to stop: it is finished\n"


def test_resume_goes_on_with_what_can_and_says_what_cannot(cli, until):
    cli("run", "pgd-dom-re", *SHORT, "--name", "a-broken", scenario="die")
    cli("run", "pgd-dom-re", *SHORT, "--name", "a-done", scenario="finish")
    done = cli("resume", "a-*", scenario="finish")
    assert done.returncode == 0
    assert "left out: a-done is finished: there is nothing left to resume" in done.stderr
    assert "a-broken: finished after 4 of 4 epochs" in done.stdout


def test_what_a_trainer_does_at_its_start_is_said_with_the_time_it_takes(cli):
    cli.play("load")
    terminal = Terminal(cli.command("run", "pgd-dom-re", "natural-dom-re", "--quick"), columns=100)
    terminal.wait_for(r"pgd-dom-re-quick-seed0 +starting \([1-9]\d? s; loading PyTorch and the data\)")
    terminal.press(b"\x03")
    assert terminal.end() == 130


@pytest.mark.parametrize(("columns", "beside"), [(64, ""), (100, r" +━+─+"), (140, r" +━+─+  loss 1\.500  201 HC")])
def test_the_runs_at_work_fit_the_terminal(cli, columns, beside):
    cli.play("slow")
    terminal = Terminal(cli.command("run", *SIX, "--quick"), columns=columns)
    terminal.wait_for(r"natural-dom-re-quick-seed2")
    terminal.wait_for(rf"dom-re-quick-seed0 +1/4 +ETA 0:00:0\d +PGD 31\.00 %{beside}\n")
    if columns > 100:
        terminal.wait_for("HC: high-confidence patterns")
    lines = [line for line in terminal.text.splitlines() if "seed0" in line and "ETA" in line]
    assert max(map(len, lines)) <= columns
    assert ("HC" in terminal.text) == (columns > 100)
    terminal.press(b"\x1c")
    assert terminal.end() == 0
    assert re.search(r"\d runs go on in the background", terminal.text)
