from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from samples import epoch_end, progress, started

from domcli import runs
from domcli.devices import Device
from domcli.events import Event, Failed, Finished, encode
from domcli.process import ProcessIdentity, identify
from domcli.rundir import RunDirectory, create
from domcli.runs import RunReader, read_run
from domcli.runstate import RunState, fold
from domcli.ticket import Ticket

TICKET = Ticket(
    id="the ticket", queued=5.0, host="here", owner=os.geteuid(), folder="/", devices=(Device("cuda:1", "GPU-1"),)
)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create(tmp_path, "a", {}, {})


def append(run: RunDirectory, *events: Event) -> None:
    with run.events.open("ab") as file:
        for event in events:
            file.write(encode(event))  # type: ignore[arg-type]


def launched(run: RunDirectory, **changes: Any) -> ProcessIdentity:
    """Record this process, changed, as the trainer, launched at second 10."""
    identity = identify()
    assert identity is not None
    identity = msgspec.structs.replace(identity, **{"launched": 10.0, **changes})
    run.write_process(identity)
    return identity


def test_a_run_that_is_not_queued_and_was_never_launched_is_lost(run: RunDirectory) -> None:
    snapshot = read_run(run)
    assert (snapshot.directory, snapshot.state, snapshot.status, snapshot.problem) == (run, RunState(), "lost", None)
    assert (snapshot.ticket, snapshot.process, snapshot.device) == (None, None, None)


def test_a_run_goes_from_queued_to_finished(run: RunDirectory) -> None:
    run.write_ticket(TICKET)
    reader = RunReader(run)
    queued = reader.read()
    assert (queued.status, queued.device) == ("queued", None)
    assert queued.ticket is not None
    assert queued.ticket.id == "the ticket"
    launched(run, ticket="the ticket", device="cuda:1")
    starting = reader.read()
    assert (starting.status, starting.device) == ("starting", "cuda:1")
    append(run, started(time=11.0), progress(1, 2))
    assert reader.read().status == "running"
    append(run, epoch_end(1), Finished(time=12.0, seconds=1.0))
    assert reader.read().status == "finished"


def test_each_snapshot_has_all_events_and_stays_as_it_was(run: RunDirectory) -> None:
    reader = RunReader(run)
    append(run, started(time=11.0), epoch_end(1))
    first = reader.read()
    append(run, epoch_end(2))
    second = reader.read()
    assert first.state == fold([started(time=11.0), epoch_end(1)])
    assert second.state == fold([started(time=11.0), epoch_end(1), epoch_end(2)])
    assert reader.read() == second


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "running"),
        ({"birth": "another boot/1"}, "lost"),
        ({"pid": 2**31 - 1}, "lost"),
        ({"host": "another-host"}, "running"),
        ({"launched": 12.0}, "starting"),
    ],
    ids=["alive", "recycled pid", "gone", "another host", "launched again"],
)
def test_an_open_run_is_what_its_process_is(run: RunDirectory, changes: dict[str, Any], expected: str) -> None:
    append(run, started(time=11.0))
    launched(run, **changes)
    assert read_run(run).status == expected


def test_the_process_is_asked_before_the_stream_is_read(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    launched(run)
    append(run, started(time=11.0))

    def ends_now(_: ProcessIdentity) -> str:
        append(run, Finished(time=12.0, seconds=1.0))
        return "gone"

    monkeypatch.setattr(runs, "liveness", ends_now)
    assert read_run(run).status == "finished"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_put_right_meanwhile_changes_nothing(run: RunDirectory, hours: int) -> None:
    """What belongs to the trainer launched last is told by the number of an event, not by its time."""
    identity = identify()
    assert identity is not None
    then = time.time()
    identity = msgspec.structs.replace(identity, launched=then, first_event=0)
    run.write_process(identity)
    append(run, msgspec.structs.replace(started(), time=then + hours * 3600, seq=0))
    assert (read_run(run).status, read_run(run).started is not None) == ("running", True)
    append(run, Finished(seconds=1.0, time=then + hours * 3600, seq=1))
    assert read_run(run).status == "finished"
    run.write_process(msgspec.structs.replace(identity, launched=then - 7200, first_event=2))
    assert (read_run(run).status, read_run(run).started) == ("starting", None)


def test_a_damaged_line_is_a_problem_and_costs_nothing_else(run: RunDirectory) -> None:
    append(run, started(time=11.0), epoch_end(1))
    with run.events.open("ab") as file:
        file.write(b"{oops}\n")
    append(run, epoch_end(2))
    snapshot = read_run(run)
    assert snapshot.state == fold([started(time=11.0), epoch_end(1), epoch_end(2)])
    assert snapshot.problem is not None
    assert snapshot.problem.startswith(f"{run.events}, line 3: not an event")


def test_a_problem_is_remembered_while_the_run_goes_on(run: RunDirectory) -> None:
    run.events.write_bytes(b"{oops}\n")
    reader = RunReader(run)
    problem = reader.read().problem
    append(run, started(time=11.0))
    later = reader.read()
    assert later.problem == problem
    assert problem is not None
    assert later.state.started is not None


def test_a_stream_that_cannot_be_read_is_a_problem(run: RunDirectory) -> None:
    run.events.unlink()
    run.events.mkdir()
    snapshot = read_run(run)
    assert snapshot.problem == f"cannot read {run.events}: Is a folder, not a regular file"
    assert snapshot.state == RunState()


def test_a_newer_stream_is_a_problem(run: RunDirectory) -> None:
    append(run, msgspec.structs.replace(started(), schema=99))
    problem = read_run(run).problem
    assert problem is not None
    assert "newer domcli (event schema 99" in problem


def test_a_run_that_waits_for_another_launch_is_queued_again(run: RunDirectory) -> None:
    append(run, started(time=11.0), epoch_end(1), Failed(time=12.0, cause="out-of-memory", reason="too big"))
    run.write_ticket(TICKET)
    launched(run, pid=2**31 - 1, ticket="an earlier ticket")
    assert read_run(run).status == "queued"
    launched(run, pid=2**31 - 1, ticket="the ticket")
    assert read_run(run).status == "failed"


def test_settings_and_preset_are_at_hand(tmp_path: Path) -> None:
    run = create(tmp_path, "b", {"train": {"seed": 3}}, {"preset": "pgd-dom-re"})
    snapshot = read_run(run)
    assert (snapshot.settings, snapshot.preset) == ({"train": {"seed": 3}}, "pgd-dom-re")


@pytest.mark.parametrize("brief", [False, True])
def test_a_list_needs_only_the_last_progress(run: RunDirectory, brief: bool) -> None:
    append(run, started(time=11.0), progress(1, 1), progress(1, 2), epoch_end(1), progress(2, 1), progress(2, 3))
    reader = RunReader(run, brief=brief)
    assert reader.read().state == fold([started(time=11.0), epoch_end(1), progress(2, 3)])
    append(run, progress(2, 4))
    assert reader.read().state.progress == progress(2, 4)


@pytest.mark.parametrize("brief", [False, True])
def test_a_snapshot_does_not_look_at_earlier_progress(run: RunDirectory, brief: bool) -> None:
    run.events.write_bytes(b'{"kind":"progress",oops}\n' + encode(started(time=11.0)) + encode(progress(1, 1)))
    assert read_run(run, brief=brief).problem is None
