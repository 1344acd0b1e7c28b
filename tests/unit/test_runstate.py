from __future__ import annotations

from itertools import product
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import any_event, epoch_end, progress, saved, started

from domcli.events import AnyEvent, Failed, Finished, Started, Stopped
from domcli.runstate import RunState, epoch_fraction, fold, headline_accuracy, status


def numbers(state: RunState) -> list[int]:
    return [epoch.epoch for epoch in state.epochs]


def test_nothing_has_happened_in_an_empty_stream() -> None:
    state = fold([])
    assert state == RunState()
    assert (state.last, state.best, state.epochs_done, state.seconds) == (None, None, 0, 0)
    assert state.remaining_seconds() is None


def test_a_finished_run_has_everything() -> None:
    events: list[AnyEvent] = [
        started(),
        progress(1, 3),
        epoch_end(1, best=True),
        saved("best", 1),
        epoch_end(2),
        saved("last", 2),
        Finished(seconds=9.0),
    ]
    state = fold(events)
    assert state.started == events[0]
    assert state.progress == events[1]
    assert state.epochs == (events[2], events[4])
    assert state.checkpoints == (events[3], events[5])
    assert state.closing == events[6]
    assert state.epochs_done == 2
    assert state.seconds == 8.0


@given(st.lists(any_event(), max_size=12), st.integers(0, 12))
def test_a_stream_may_be_folded_in_pieces(events: list[AnyEvent], cut: int) -> None:
    assert fold(events[cut:], fold(events[:cut])) == fold(events)


def test_a_fold_leaves_the_state_it_began_with() -> None:
    before = fold([started(), epoch_end(1)])
    fold([epoch_end(2), Finished(seconds=1.0)], before)
    assert numbers(before) == [1]
    assert before.closing is None


def test_a_resume_drops_what_is_being_done_again() -> None:
    lost = [started(), *map(epoch_end, (1, 2, 3, 4)), saved("epoch", 2, "a"), saved("epoch", 4, "b"), progress(5, 2)]
    state = fold([*lost, Stopped(reason="asked", epoch=4, step=2), started(epoch=2)])
    assert numbers(state) == [1, 2]
    assert [kept.path for kept in state.checkpoints] == ["a"]
    assert state.progress is None
    assert state.closing is None
    assert state.epochs_done == 2
    assert numbers(fold([epoch_end(3)], state)) == [1, 2, 3]


def test_a_resume_after_the_last_epoch_drops_nothing() -> None:
    assert numbers(fold([started(), epoch_end(1), epoch_end(2), started(epoch=2)])) == [1, 2]


@given(st.lists(st.integers(0, 6), max_size=5))
def test_epochs_stand_in_order_and_once_whatever_was_resumed(resumes: list[int]) -> None:
    events: list[AnyEvent] = [started(), *map(epoch_end, range(1, 7))]
    for done in resumes:
        events += [started(epoch=done), *map(epoch_end, range(done + 1, 7))]
    assert numbers(fold(events)) == [1, 2, 3, 4, 5, 6]


def test_best_is_the_last_epoch_that_was_best_when_it_ended() -> None:
    first, second, third = epoch_end(1, best=True), epoch_end(2, best=True), epoch_end(3)
    assert fold([first, second, third]).best == second
    assert fold([first, second, third, started(epoch=1)]).best == first
    assert fold([third]).best is None


def test_last_is_the_last_epoch_that_was_evaluated() -> None:
    assert fold([epoch_end(1), epoch_end(2, tested=False)]).last == epoch_end(1)
    assert fold([epoch_end(1, tested=False)]).last is None


def test_a_checkpoint_takes_the_place_of_the_one_in_its_file() -> None:
    state = fold([saved("last", 1), saved("best", 1), saved("last", 2)])
    assert [(kept.label, kept.epoch) for kept in state.checkpoints] == [("best", 1), ("last", 2)]


@pytest.mark.parametrize(("pgd", "accuracy"), [(0.3, 0.3), (0.0, 0.0), (None, 0.9)])
def test_the_headline_is_pgd_accuracy_where_there_is_one(pgd: float | None, accuracy: float) -> None:
    assert headline_accuracy(epoch_end(1, natural=0.9, pgd=pgd)) == accuracy


def test_without_an_evaluation_there_is_no_headline() -> None:
    assert headline_accuracy(None) is None
    assert headline_accuracy(epoch_end(1, tested=False)) is None


@pytest.mark.parametrize(
    ("now", "fraction"),
    [
        (None, 0.0),
        (progress(1, 4), 0.0),
        (progress(2, 0), 0.0),
        (progress(2, 1), 0.25),
        (progress(2, 4), 1.0),
        (progress(2, 1, "test"), 1.0),
        (progress(2, 1, "attack-train"), 1.0),
    ],
)
def test_the_fraction_is_that_of_the_epoch_after_the_last_finished(now: Any, fraction: float) -> None:
    state = RunState(epochs=(epoch_end(1),), progress=now)
    assert epoch_fraction(state) == fraction


def test_an_epoch_without_steps_has_no_fraction() -> None:
    from msgspec.structs import replace

    assert epoch_fraction(RunState(progress=replace(progress(1, 0), steps=0))) == 0.0


def test_the_rest_takes_as_long_as_the_last_epochs_did() -> None:
    slow = [epoch_end(number, train_seconds=100.0) for number in (1, 2, 3)]
    recent = [epoch_end(number, train_seconds=float(number), test_seconds=1.0) for number in range(4, 9)]
    state = fold([started(epochs=10), *slow, *recent])
    assert state.remaining_seconds() == pytest.approx(2 * 7.0)
    assert fold([progress(9, 1)], state).remaining_seconds() == pytest.approx(1.75 * 7.0)


def test_there_is_no_rest_before_the_first_epoch_nor_after_the_last() -> None:
    assert fold([started(), progress(1, 2)]).remaining_seconds() is None
    assert fold([started(epochs=1), epoch_end(1)]).remaining_seconds() == 0.0
    assert fold([started(epochs=1), epoch_end(1), progress(2, 4)]).remaining_seconds() == 0.0


CLOSINGS: dict[str, Any] = {
    "finished": Finished(time=50.0, seconds=1.0),
    "failed": Failed(time=50.0, cause="error", reason="a reason"),
    "stopped": Stopped(time=50.0, reason="asked", epoch=1, step=0),
}
Process = Literal["alive", "gone", "elsewhere", "none"]
PROCESSES: tuple[Process, ...] = ("alive", "gone", "elsewhere", "none")


def state_of(started_at: float | None, closing: str | None = None) -> RunState:
    begun: Started | None = None if started_at is None else started(time=started_at)
    return RunState(started=begun, closing=CLOSINGS[closing] if closing else None)


@pytest.mark.parametrize(
    ("process", "launched", "started_at", "expected"),
    [
        ("none", 0.0, None, "lost"),
        ("none", 0.0, 20.0, "lost"),
        ("gone", 10.0, None, "lost"),
        ("gone", 10.0, 20.0, "lost"),
        ("gone", 30.0, 20.0, "lost"),
        ("alive", 10.0, None, "starting"),
        ("alive", 10.0, 20.0, "running"),
        ("alive", 30.0, 20.0, "starting"),
        ("elsewhere", 10.0, None, "starting"),
        ("elsewhere", 10.0, 20.0, "running"),
        ("elsewhere", 30.0, 20.0, "starting"),
    ],
)
def test_status_without_a_closing_event(
    process: Process, launched: float, started_at: float | None, expected: str
) -> None:
    assert status(state_of(started_at), process, launched) == expected


@pytest.mark.parametrize(("closing", "process"), list(product(CLOSINGS, PROCESSES)))
def test_a_closing_event_after_the_launch_decides(closing: str, process: Process) -> None:
    assert status(state_of(20.0, closing), process, launched=10.0) == closing
    assert status(state_of(None, closing), process, launched=50.0) == closing


@pytest.mark.parametrize(("closing", "process"), list(product(CLOSINGS, PROCESSES)))
def test_a_closing_event_before_the_launch_is_an_earlier_trainers(closing: str, process: Process) -> None:
    expected = {"alive": "starting", "elsewhere": "starting", "gone": "lost", "none": closing}[process]
    assert status(state_of(20.0, closing), process, launched=60.0) == expected


@pytest.mark.parametrize("started_at", [None, 20.0])
@pytest.mark.parametrize("closing", [None, *CLOSINGS])
def test_a_run_in_the_queue_is_queued_whatever_was_before(closing: str | None, started_at: float | None) -> None:
    state = state_of(started_at, closing)
    for process in ("none", "gone", "elsewhere"):
        assert status(state, process, launched=10.0, queued=True) == "queued"
    assert status(state, "alive", launched=60.0, queued=True) == "starting"


def test_a_condensed_state_has_what_a_list_shows() -> None:
    events: list[AnyEvent] = [started(epochs=20), epoch_end(1), epoch_end(2, best=True)]
    events += [epoch_end(number, tested=number == 4, train_seconds=float(number)) for number in range(3, 13)]
    state = fold([*events, saved("best", 2), progress(13, 2)])
    short = state.condensed()
    assert numbers(short) == [2, 4, 8, 9, 10, 11, 12]
    assert (short.best, short.last) == (state.best, state.last)
    assert (short.epochs_done, short.checkpoints, short.progress) == (12, state.checkpoints, state.progress)
    assert short.seconds == pytest.approx(state.seconds)
    assert short.remaining_seconds() == state.remaining_seconds()
    assert short.condensed() == short


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 20))
def test_a_condensed_state_may_be_condensed_on_the_way(best: list[bool], cut: int) -> None:
    ends = [epoch_end(number, best=one, tested=number % 3 == 0) for number, one in enumerate(best, 1)]
    on_the_way = fold(ends[cut:], fold(ends[:cut]).condensed()).condensed()
    whole = fold(ends)
    assert on_the_way.epochs == whole.condensed().epochs
    assert on_the_way.seconds == pytest.approx(whole.seconds)
