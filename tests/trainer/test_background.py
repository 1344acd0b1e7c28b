"""The thread that writes: in order, not after a failure, to the end whatever ends the training."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from domcli.errors import NonFiniteLossError, StorageError
from domcli.events import AnyEvent, Finished, Progress
from domcli.stream import EventReader, EventWriter
from domcli.trainer.background import BackgroundWriter
from domcli.trainer.stop import StopRequested

TIMEOUT = 60.0
"""Only a test that fails waits so long."""


def progress(step: int) -> Progress:
    return Progress(phase="train", epoch=1, step=step, steps=9, images_per_second=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def events(path: Path) -> Iterator[EventWriter]:
    writer = EventWriter(path)
    yield writer
    writer.close()


def written(path: Path) -> list[AnyEvent]:
    return EventReader(path).read()


def test_everything_is_written_in_the_order_in_which_it_was_handed_over(events: EventWriter, path: Path) -> None:
    seen: list[int] = []
    with BackgroundWriter(events) as background:
        for step in range(1, 4):
            background.write(progress(step))
            background.do(lambda: seen.append(len(written(path))))
    assert seen == [1, 2, 3]
    assert [(event.seq, event.step) for event in written(path)] == [(0, 1), (1, 2), (2, 3)]


def test_the_training_goes_on_while_a_write_is_blocked_and_events_keep_their_time(
    events: EventWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, begun, room = [100.0], threading.Event(), threading.Event()
    monkeypatch.setattr("domcli.trainer.background.time.time", lambda: now[0])
    with BackgroundWriter(events) as background:
        background.do(lambda: (begun.set(), room.wait(TIMEOUT)))
        assert begun.wait(TIMEOUT)
        for step in (1, 2):
            background.write(progress(step))
            now[0] += 1.0
        assert written(path) == []
        now[0] = 500.0
        room.set()
    assert [event.time for event in written(path)] == [100.0, 101.0]


def test_events_are_written_while_the_training_does_something_else(events: EventWriter, path: Path) -> None:
    told = threading.Event()
    with BackgroundWriter(events) as background:
        background.write(progress(1))
        background.do(told.set)
        assert told.wait(TIMEOUT)
        assert len(written(path)) == 1


def fail() -> None:
    raise StorageError("the disk is full")


def test_nothing_is_written_after_a_failure_which_ends_the_training(events: EventWriter, path: Path) -> None:

    def train() -> None:
        room = threading.Event()
        with BackgroundWriter(events) as background:
            background.write(progress(1))
            background.do(lambda: (room.wait(TIMEOUT), fail()))
            background.write(progress(2))  # handed over before the failure
            room.set()
            background._thread.join(TIMEOUT)
            for act in (lambda: background.write(progress(3)), lambda: background.do(fail), background.sync):
                with pytest.raises(StorageError, match="the disk is full"):
                    act()

    with pytest.raises(StorageError, match="the disk is full"):
        train()
    assert [event.step for event in written(path)] == [1]


def test_a_failure_wakes_who_waits_for_something_to_be_done(events: EventWriter) -> None:
    waiting = threading.Event()

    def reached() -> bool:
        waiting.set()
        return False

    def fail_once_it_waits() -> None:
        assert waiting.wait(TIMEOUT)
        fail()

    def train() -> None:
        with BackgroundWriter(events) as background:
            background.do(fail_once_it_waits)
            background.wait_until(reached)

    with pytest.raises(StorageError, match="the disk is full"):
        train()


def test_waiting_ends_as_soon_as_jobs_have_brought_it_about(events: EventWriter) -> None:
    done: list[int] = []
    with BackgroundWriter(events) as background:
        for number in range(3):
            background.do(lambda number=number: done.append(number))
        background.wait_until(lambda: len(done) == 3)
        assert done == [0, 1, 2]


@pytest.mark.parametrize("error", [StopRequested("asked to"), NonFiniteLossError("diverged"), KeyboardInterrupt()])
def test_whatever_ends_the_training_all_is_written_before_it_goes_on(
    events: EventWriter, path: Path, error: BaseException
) -> None:
    begun, room = threading.Event(), threading.Event()
    background = BackgroundWriter(events)

    def train() -> None:
        with background:
            background.do(lambda: (begun.set(), room.wait(TIMEOUT)))
            background.write(progress(1))
            assert begun.wait(TIMEOUT)
            threading.Timer(0.0, room.set).start()
            raise error

    with pytest.raises(type(error)):
        train()
    assert not background._thread.is_alive()
    events.write(Finished(seconds=1.0))  # what the trainer says of its end
    assert [type(event) for event in written(path)] == [Progress, Finished]


@pytest.mark.parametrize("error", [StopRequested("asked to"), NonFiniteLossError("diverged"), None])
def test_a_failure_of_what_came_before_is_told_instead_of_how_the_training_ended(
    events: EventWriter, error: Exception | None
) -> None:
    room = threading.Event()

    def train() -> None:
        with BackgroundWriter(events) as background:
            background.do(lambda: (room.wait(TIMEOUT), fail()))
            threading.Timer(0.0, room.set).start()
            if error is not None:
                raise error

    with pytest.raises(StorageError, match="the disk is full"):
        train()


def test_an_interpreter_that_ends_cuts_off_no_write(events: EventWriter) -> None:
    assert not BackgroundWriter(events)._thread.daemon
