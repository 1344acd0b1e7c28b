"""What can be done to which run, and what comes of doing it to several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_directories import created

from domcli.devices import CPU
from domcli.errors import ProcessError, RunDirectoryError
from domcli.events import Finished, Stopped
from domcli.launch import actions, queue, rules
from domcli.launch.access import sole_access
from domcli.launch.rules import Hindrance, Verb, hindrance
from domcli.launch.terms import Terms
from domcli.rundir import RunDirectory
from domcli.runs import Run, read_run
from domcli.runstate import RunState, Status
from domcli.settings import Settings
from domcli.stream import EventWriter

TABLES: dict[str, Any] = {"train": {"epochs": 3}}


def run_that_is(status: Status, **told: Any) -> Run:
    return Run(RunDirectory(Path("runs/it")), status=status, **{"settings": TABLES, **told})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("queued", {"resume": "queued", "extend": "queued", "retry": "queued", "delete": None, "stop": None}),
        ("starting", {"resume": "at work", "extend": "at work", "delete": "at work", "kill": None}),
        ("running", {"resume": "at work", "retry": "at work", "delete": "at work", "stop": None}),
        ("finished", {"resume": "complete", "extend": None, "retry": "not failed", "delete": None, "stop": "ended"}),
        ("stopped", {"resume": None, "extend": None, "retry": "not failed", "delete": None, "kill": "ended"}),
        ("failed", {"resume": None, "retry": None, "delete": None, "stop": "ended"}),
        ("lost", {"resume": None, "retry": None, "delete": None, "kill": "ended"}),
    ],
)
def test_what_can_be_done_goes_by_what_a_run_is_doing(status: Status, expected: dict[Verb, Hindrance | None]) -> None:
    run = run_that_is(status)
    assert {verb: hindrance(verb, run) for verb in expected} == expected
    assert {verb for verb in expected if rules.can(verb, run)} == {verb for verb, why in expected.items() if not why}


def test_a_run_that_diverged_would_do_so_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunState, "diverged", True)
    assert hindrance("retry", run_that_is("failed")) == "diverged"
    assert hindrance("resume", run_that_is("failed")) is None


def test_a_run_without_settings_cannot_go_on() -> None:
    unreadable = run_that_is("stopped", settings={}, problem="cannot read it")
    assert hindrance("resume", unreadable) == "unreadable"
    assert rules.sentence(unreadable, "unreadable") == "cannot read it"
    assert hindrance("delete", unreadable) is None


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunDirectory]:
    """A run that waits, one that is finished, one that was stopped; nobody advances the queue."""
    monkeypatch.setattr(queue, "wake", lambda _: None)
    waiting = created(tmp_path, Settings(), name="waiting", ticket=queue.new_ticket((CPU,)))
    finished, stopped = (created(tmp_path, Settings(), name=name) for name in ("finished", "stopped"))
    for run, event in ((finished, Finished(seconds=1.0)), (stopped, Stopped(reason="asked to", epoch=1, step=0))):
        writer = EventWriter(run.events)
        writer.write(event)
        writer.close()
    return [waiting, finished, stopped]


def told(results: list[actions.Result]) -> list[str]:
    return [str(result.error or result.happened) for result in results]


def test_each_run_has_a_result_in_the_order_of_the_runs(three: list[RunDirectory]) -> None:
    runs = list(map(read_run, three))
    assert told(actions.resume(runs, Terms(devices="cpu"))) == [
        "waiting is queued already",
        "finished is finished: there is nothing left to resume",
        "queued",
    ]
    assert [run.waiting_ticket() is not None for run in three] == [True, False, True]
    runs = list(map(read_run, three))
    out = "taken out of the queue"
    assert told(actions.stop(runs[::-1])) == [out, "finished has no trainer to stop: it is finished", out]
    assert told(actions.delete(runs)) == ["deleted"] * 3
    assert not any(run.path.exists() for run in three)


def test_terms_that_cannot_be_met_are_told_before_any_is_queued(three: list[RunDirectory]) -> None:
    with pytest.raises(Exception, match="write auto, or a whole number"):
        actions.resume(list(map(read_run, three)), Terms(devices="cpu", jobs="0"))
    assert three[2].waiting_ticket() is None


def test_retry_leaves_out_what_has_not_failed(three: list[RunDirectory]) -> None:
    results = actions.resume(list(map(read_run, three[1:])), Terms(devices="cpu"), "retry")
    assert told(results) == ["finished has not failed: it is finished", "stopped has not failed: it is stopped"]
    assert all(isinstance(result.error, ProcessError) for result in results)


def test_what_cannot_be_deleted_is_known_before(three: list[RunDirectory]) -> None:
    assert actions.undeletable(read_run(three[0])) is None
    with sole_access(three[1]):
        assert isinstance(actions.undeletable(read_run(three[1])), rules.Hindered)
    three[2].environment.unlink()
    three[2].events.unlink()
    assert isinstance(actions.undeletable(read_run(three[2])), RunDirectoryError)
