from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from samples import epoch_end, progress, started

from domcli import runs
from domcli.events import Event, Finished, encode
from domcli.process import ProcessIdentity, identify
from domcli.rundir import RunDirectory, create
from domcli.runs import RunReader, read_run
from domcli.runstate import RunState, fold


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


def test_a_run_that_was_never_launched_is_queued(run: RunDirectory) -> None:
    snapshot = read_run(run)
    assert (snapshot.directory, snapshot.state, snapshot.status, snapshot.problem) == (run, RunState(), "queued", None)


def test_a_run_goes_from_queued_to_finished(run: RunDirectory) -> None:
    reader = RunReader(run)
    assert reader.read().status == "queued"
    launched(run)
    assert reader.read().status == "starting"
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
        ({"start_time": 1.0}, "lost"),
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
    assert snapshot.problem == f"cannot read {run.events}: Is a directory"
    assert snapshot.state == RunState()


def test_a_newer_stream_is_a_problem(run: RunDirectory) -> None:
    append(run, msgspec.structs.replace(started(), schema=99))
    problem = read_run(run).problem
    assert problem is not None
    assert "newer domcli (event schema 99" in problem
