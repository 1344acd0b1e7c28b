"""How many cores others keep busy, from what Linux and control groups count; no clock and no real load is involved."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from domcli import cores
from domcli.cores import TICKS, Look, in_the_way, look, others
from domcli.events import BusyCores

BEGAN = Look(clock=100.0, cores=4, used=1000.0, limit=None, used_in_group=None, used_here=10.0)


def later(seconds: float, before: Look = BEGAN, **used: float) -> Look:
    """Return a look after so many seconds, in which so many CPU seconds were used."""
    grown = {name: getattr(before, name) + value for name, value in used.items()}
    return replace(before, clock=before.clock + seconds, **grown)


@pytest.mark.parametrize(
    ("after", "busy"),
    [
        (later(2.0, used=0.0), 0.0),
        (later(2.0, used=3.0), 1.5),
        (later(2.0, used=3.0, used_here=2.0), 0.5),  # this process itself is nobody else
        (later(2.0, used=3.0, used_here=3.02), 0.0),  # the clocks tick by hundredths
        (later(2.0, used=8.4), 4.0),
    ],
)
def test_what_others_use_is_what_this_process_does_not(after: Look, busy: float) -> None:
    assert others(BEGAN, after) == BusyCores(busy=busy, cores=4)


@pytest.mark.parametrize(
    ("used", "in_group", "here", "busy"),
    [
        (6.0, 0.0, 0.0, 0.0),  # others outside leave the two cores that the group may use
        (15.0, 0.0, 0.0, 1.5),  # and here half a core, whoever else is in the group
        (6.0, 3.0, 1.0, 1.0),  # another process in the group
        (6.0, 9.0, 1.0, 2.0),
    ],
)
def test_a_control_group_that_allows_two_of_eight_cores(used: float, in_group: float, here: float, busy: float) -> None:
    before = replace(BEGAN, cores=8, limit=2.0, used_in_group=50.0)
    after = later(2.0, before, used=used, used_in_group=in_group, used_here=here)
    assert others(before, after) == BusyCores(busy=busy, cores=2)


def test_nothing_is_said_where_nothing_is_counted() -> None:
    assert others(replace(BEGAN, used=None), later(1.0, used=1.0)) is None
    assert others(BEGAN, replace(later(1.0), used=None)) is None
    assert others(BEGAN, BEGAN) is None


@pytest.mark.parametrize(
    ("busy", "of", "threads", "told"),
    [
        (1.0, 2, 2, True),
        (1.0, 2, 1, False),  # one thread has the other core
        (2.0, 2, 1, True),
        (0.4, 2, 2, False),
        (1.0, 64, 64, False),
        (7.0, 64, 64, True),
        (30.0, 64, 32, False),
        (1.0, 2, 64, False),  # more threads than cores are missing anyhow: the others take little of it
        (8.0, 64, 2, False),
    ],
)
def test_others_are_in_the_way_of_threads_that_lack_cores(busy: float, of: int, threads: int, told: bool) -> None:
    found = BusyCores(busy=busy, cores=of)
    assert (in_the_way(found, threads) is found) is told
    assert in_the_way(None, threads) is None


def test_only_the_cores_that_this_process_may_use_are_looked_at(tmp_path, monkeypatch) -> None:
    lines = [
        "cpu  9999 9999 9999 9999 0 0 0 0 0 0",
        "cpu0 100 10 20 5000 300 3 4 5 90 9",  # idle and waiting for disks is not busy; guests are in user already
        "cpu1 70000 0 0 0 0 0 0 0 0 0",
        "cpu2 1000 0 0 0 0 0 0 0 0 0",
        "intr 12345 6 7",
        "cpufreq 1",
    ]
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 2})
    found = look(tmp_path)
    assert found.used == pytest.approx((142 + 1000) / TICKS)
    assert (found.cores, found.limit, found.used_in_group) == (2, None, None)


@pytest.mark.parametrize("text", [None, "", "cpu0\n", "cpu0 a b c d e f g h\n", "\n \n"])
def test_a_stat_that_cannot_be_read_counts_nothing(tmp_path, text, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    if text is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/stat").write_text(text)
    assert look(tmp_path).used is None


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("job", {"cpu.max": "150000 100000", "cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_periods 7\n"}),
        ("cpu/job", {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000", "cpuacct.usage": "2500000000"}),
    ],
)
def test_the_group_that_limits_the_cores_tells_what_it_has_used(tmp_path, folder, files) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("3:cpu:/job\n0::/job\n")
    for name, content in files.items():
        path = tmp_path / "sys/fs/cgroup" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    found = look(tmp_path)
    assert (found.limit, found.used_in_group) == (1.5, 2.5)


def test_what_started_processes_use_counts_as_used_here() -> None:
    work = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    before = cores._used_here()
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = cores._used_here()
        child.communicate(b"\n")
    assert during - before >= 0.45
    assert cores._used_here() - before >= 0.45


def test_the_sentence() -> None:
    assert str(BusyCores(busy=1.5, cores=2.0)) == "other programs keep 1.5 of 2 cores busy"
    assert str(BusyCores(busy=1.0, cores=1.0)) == "other programs keep 1 of 1 core busy"
