"""`domcli runs`: which runs are listed, in which order, as a table and as JSON, once and again and again."""

from __future__ import annotations

import re
import socket
import sys
import time
from pathlib import Path
from typing import Any

import fake_trainer
import msgspec
import pytest
from made_runs import make
from terminal import Terminal

from domcli.discarding import discard
from domcli.events import AnyEvent, EpochEnd, Finished, encode
from domcli.rundir import RunDirectory
from domcli.runs import read_run


@pytest.fixture
def everything(cli) -> None:
    """A run in every state, made in this order."""
    make("done", "finished", epochs=4, preset="natural-baseline")
    make("broken", "failed", epochs=1)
    make("gone", "lost", exit_code=-9)
    make("later", "queued", queued=20.0, max_retries=2, retries=1)
    make("next", "queued", queued=10.0)
    make("halted", "stopped", epochs=3)
    make("busy", "running", epochs=1)
    make("fresh", "starting", epochs=0)


def listed(cli, *arguments: str) -> list[str]:
    return [one["name"] for one in cli.json("runs", "--json", *arguments)]


ALL = ["done", "broken", "gone", "later", "next", "halted", "busy", "fresh"]


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ALL),
        (["--reverse"], ALL[::-1]),
        (["--sort", "name"], sorted(ALL)),
        (["--sort", "state"], ["busy", "fresh", "next", "later", "broken", "gone", "halted", "done"]),
        (["--sort", "epoch", "--state", "finished,stopped,lost"], ["done", "halted", "gone"]),
        (["--sort", "best", "done", "broken", "later"], ["done", "broken", "later"]),
        (["--sort", "best", "--reverse", "done", "broken", "later"], ["broken", "done", "later"]),
        (["--sort", "last", "halted", "done", "next"], ["done", "halted", "next"]),
        (["--sort", "eta"], ["busy", *(name for name in ALL if name != "busy")]),
        (["--sort", "device", "later", "done"], ["done", "later"]),
        (["--state", "queued"], ["later", "next"]),
        (["--state", "failed, lost", "--state", "queued"], ["broken", "gone", "later", "next"]),
        (["--state", "queued", "n*", "done"], ["next"]),
        (["n*", "do"], ["next", "done"]),
        (["--preset", "nat*"], ["done"]),
        (["--preset", "pgd-dom-re", "--state", "finished"], []),
    ],
)
def test_runs_are_filtered_and_sorted(cli, arguments: list[str], expected: list[str]):
    assert listed(cli, *arguments) == expected


def test_names_are_sorted_with_their_numbers_as_numbers(cli):
    for seed in (10, 2, 1):
        make(f"seed{seed}", "finished")
    assert listed(cli, "--sort", "name") == ["seed1", "seed2", "seed10"]


@pytest.mark.usefixtures("everything")
def test_the_table_without_a_terminal(cli):
    done = cli("runs")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "name    state                 epoch  best %  last %  accuracy  device      ETA  problem",
        "done    finished                4/4   32.00   31.00  PGD-20    cpu           -",
        "broken  failed                  1/4   31.00   31.00  PGD-20    cpu           -  "
        "the device has too little memory; use a smaller batch",
        "gone    lost                    2/4   32.00   32.00  PGD-20    cpu           -  "
        "its trainer was killed by SIGKILL",
        "later   queued 2 (retry 1/2)    0/4       -       -  PGD-20    -             -",
        "next    queued 1                0/4       -       -  PGD-20    -             -",
        "halted  stopped                 3/4   32.00   30.00  PGD-20    cpu           -",
        "busy    running                 1/4   31.00   31.00  PGD-20    cpu     0:00:08",
        "fresh   starting                0/4       -       -  PGD-20    cpu           -",
    ]


@pytest.mark.usefixtures("everything")
def test_what_json_says_besides(cli):
    keys = ("queue_place", "created", "retries", "max_retries", "exit_code", "cause", "progress")
    found = {one["name"]: [one[key] for key in keys] for one in cli.json("runs", "--json")}
    assert found["later"] == [2, 1e9, 1, 2, None, None, 0.0]
    assert found["next"] == [1, 1e9, 0, 0, None, None, 0.0]
    assert found["gone"] == [None, 1e9, None, None, -9, None, 0.5]
    assert found["broken"] == [None, 1e9, None, None, None, "out-of-memory", 0.25]
    assert found["done"] == [None, 1e9, None, None, None, None, 1.0]


def test_how_a_lost_trainer_ended(cli):
    make("crashed", "lost", exit_code=3)
    make("unseen", "lost")
    make("forgotten", "lost").process.unlink()
    rows = {line.split()[0]: line for line in cli("runs").stdout.splitlines()}
    assert rows["crashed"].endswith("its trainer ended with exit code 3")
    assert rows["unseen"].endswith(" -")
    assert rows["forgotten"].endswith("not in the queue, and no trainer is known")


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["--state", "failed,broken"],
            "unknown state 'broken' for --state; it must be one or more of "
            "queued, starting, running, finished, failed, stopped, lost",
        ),
        (["--state", ""], "unknown state ''"),
        (["n*", "zzz"], "no run named 'zzz' in runs; it has done, broken, gone, later, next and 3 more"),
        (["--watch"], "--watch needs a terminal"),
        (["--watch", "--json"], "--watch draws on a terminal and --json writes once"),
    ],
)
def test_what_cannot_be_listed_is_one_sentence(cli, arguments: list[str], problem: str):
    done = cli("runs", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {problem}")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("everything")
def test_a_filter_that_nothing_fits_says_so(cli):
    done = cli("runs", "--preset", "none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "none of the 8 runs in runs fits\n")


def test_looking_makes_a_queue_go_on_whose_supervisor_was_killed(cli, until):
    cli.play("finish")
    run = make("waiting", "queued", host=socket.gethostname(), folder=str(Path.cwd()), owner=_user())
    assert cli.json("runs", "--json")[0]["queue_place"] in (1, None)
    until(lambda: read_run(run).status == "finished")


def _user() -> int:
    import os

    return os.getuid()


def test_a_queue_that_cannot_be_woken_is_still_listed(cli, tmp_path):
    make("waiting", "queued", host=socket.gethostname(), folder=str(tmp_path), owner=_user())
    (tmp_path / "runs" / ".domcli").write_text("in the way")
    done = cli("runs", "waiting")
    assert (done.returncode, done.stderr) == (0, "")
    assert "queued 1" in done.stdout
    assert "queued" in cli("show", "waiting").stdout


def on_terminal(cli, *arguments: str, **size: Any) -> Terminal:
    return Terminal(cli.command("runs", *arguments), **size)


@pytest.mark.usefixtures("everything")
def test_a_terminal_gets_colours_bars_and_how_many_there_are(cli):
    terminal = on_terminal(cli, columns=160)
    assert terminal.end() == 0
    assert re.search(r"busy +running +━━────── +1/4 +31\.00 +31\.00 +PGD-20 +cpu +0:00:08\n", terminal.text)
    assert re.search(r"broken +\x1b\[31mfailed ", terminal.raw)
    assert re.search(r"lost .* its trainer was killed by SIGKILL", terminal.text)
    assert "1 running, 1 starting, 2 queued, 1 failed, 1 lost, 1 stopped, 1 finished\n" in terminal.text


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_narrow_terminal_is_not_overrun(cli, columns: int):
    terminal = on_terminal(cli, columns=columns)
    assert terminal.end() == 0
    lines = terminal.text.partition("1 running, ")[0].splitlines()
    assert max(map(len, lines)) <= columns
    (row,) = (line for line in lines if "running" in line)
    assert row.startswith("busy ")
    assert any(line.strip() == "its trainer was killed by SIGKILL" for line in lines)


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("variables", [{"term": "dumb"}, {}])
def test_colours_are_for_terminals_that_have_them(cli, monkeypatch, variables: dict[str, str]):
    terminal = on_terminal(cli, columns=120, **variables)
    assert terminal.end() == 0
    assert ("\x1b" in terminal.raw) == (not variables)


def test_the_time_that_the_queue_takes_is_told_when_it_is_known(cli):
    here = {"host": socket.gethostname(), "owner": _user(), "queued": 5.0, "not_before": time.time() + 60}
    make("timed", "finished", epochs=4)
    make("waiting", "queued", **here)
    make("also-waiting", "queued", **here)
    terminal = on_terminal(cli)
    assert terminal.end() == 0
    assert "2 queued, 1 finished; the queue is done in about 0:00:20\n" in terminal.text
    make("busy", "running", epochs=2)
    terminal = on_terminal(cli)
    assert terminal.end() == 0
    assert "the queue is done in about 0:00:25\n" in terminal.text
    make("of-another-kind", "queued", of=8, **here).settings.write_text("[attack]\nsteps = 99\n[train]\nepochs = 8\n")
    terminal = on_terminal(cli)
    assert terminal.end() == 0
    assert "3 queued" in terminal.text
    assert "the queue is done in about 0:00:25, not counting 1 run of unknown length\n" in terminal.text


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_watching_shows_what_comes_changes_and_goes(cli, key: bytes):
    first = make("first", "running", epochs=1)
    terminal = on_terminal(cli, "--watch")
    terminal.wait_for(r"first +running .* 1/4")
    make("second", "failed", epochs=1)
    terminal.wait_for(r"second +failed")
    with first.events.open("ab") as file:
        file.write(_epoch(first, 2))
    terminal.wait_for(r"first +running .* 2/4")
    discard(RunDirectory(Path("runs/second")))
    # A whole screen, from its header to the footer, without it.
    terminal.wait_for(r"(?s)name +state((?!second).)*\n1 running +\n")
    terminal.press(key)
    assert terminal.end() == 0
    assert terminal.raw.rindex("\x1b[?1049l"), "the screen is as it was"


def _epoch(run: RunDirectory, number: int) -> bytes:
    import fake_trainer
    import msgspec

    from domcli.events import encode

    return encode(msgspec.structs.replace(fake_trainer.epoch_end(number, 4), time=time.time()))


def test_watching_scrolls_and_begins_with_the_runs_at_work(cli):
    for number in range(12):
        make(f"finished-{number:02}", "finished", epochs=1)
    make("at-work", "running")
    terminal = on_terminal(cli, "--watch", lines=10)
    terminal.wait_for(r"at-work +running")
    terminal.wait_for("page up and down scroll")
    assert "finished-11" not in terminal.text
    terminal.press(b"\x1b[F")
    terminal.wait_for("finished-11")
    terminal.press(b"q")
    assert terminal.end() == 0


def test_a_terminal_that_cannot_be_drawn_on_cannot_watch(cli):
    terminal = on_terminal(cli, "--watch", term="dumb")
    assert terminal.end() == 2
    assert "--watch needs a terminal that can be drawn on" in terminal.text


def test_neither_pydantic_models_nor_torch_are_loaded_for_a_list(cli, tmp_path):
    import subprocess

    make("done", "finished")
    probe = "import sys; from domcli.cli.main import main; main(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe, "runs"], capture_output=True, text=True, check=True)
    assert "done" in done.stdout
    assert {"torch", "numpy", "textual", "rich", "domcli.settings"}.isdisjoint(done.stderr.split())


def test_the_overfitting_watch_speaks_in_lists_summaries_and_json(cli):
    run = make("collapsed", "running", of=20, epochs=0)
    for number in range(1, 13):
        append(run, collapsing(number))
    append(run, Finished(seconds=1.0))
    (row,) = [line for line in cli("runs").stdout.splitlines() if line.startswith("collapsed")]
    assert row.endswith("CO in epoch 7")
    shown = cli("show", "collapsed").stdout
    assert "watch            CO: PGD test accuracy" in shown
    (finding,) = cli.json("runs", "--json")[0]["findings"]
    assert (finding["kind"], finding["epoch"]) == ("catastrophic-overfitting", 7)
    assert finding["reason"] in shown


def append(run: RunDirectory, event: AnyEvent) -> None:
    with run.events.open("ab") as stream:
        stream.write(encode(msgspec.structs.replace(event, time=time.time())))


def collapsing(number: int) -> EpochEnd:
    """An epoch of a run whose PGD accuracy falls to nothing after the sixth, while one-step accuracy climbs."""
    end, fallen = fake_trainer.epoch_end(number, 20), number > 6
    test = msgspec.structs.replace(
        end.test, natural_accuracy=0.6, pgd_accuracy=0.0 if fallen else 0.5, one_step_accuracy=0.8 if fallen else 0.6
    )
    train = msgspec.structs.replace(end.train, robust_accuracy=0.9 if fallen else 0.5)
    return msgspec.structs.replace(end, test=test, train=train)
