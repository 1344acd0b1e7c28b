from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import epoch_end, progress, saved, started

from domcli import brief
from domcli.brief import BriefWriter, read_brief
from domcli.events import AnyEvent, EpochEnd, Failed, Finished, Stopped, encode
from domcli.rundir import RunDirectory, create
from domcli.runs import RunReader, read_run
from domcli.stream import EventReader

TABLES: dict[str, Any] = {"train": {"epochs": 20, "seed": 1}}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return create(tmp_path, "a", TABLES, {"preset": "pgd-dom-re"})


def train(run: RunDirectory, *events: AnyEvent) -> None:
    """Write events as a trainer does."""
    writer = BriefWriter(run)
    for event in events:
        writer.write(event)
    writer.close()


def shown(run: RunDirectory, *, brief: bool) -> tuple[Any, ...]:
    """What a list shows of a run."""
    found = read_run(run, brief=brief)
    state = found.state
    facts = (found.status, found.settings, found.preset, found.problem)
    return (*facts, state.started, state.best, state.last, state.epochs_done, state.closing, state.remaining_seconds())


def test_a_brief_says_what_the_stream_does(run: RunDirectory) -> None:
    ends = [epoch_end(number, best=number < 4) for number in range(1, 15)]
    train(run, started(epochs=20), *ends, saved("last", 14), progress(15, 2))
    assert shown(run, brief=True) == shown(run, brief=False)
    assert [epoch.epoch for epoch in read_run(run, brief=True).state.epochs] == [3, 10, 11, 12, 13, 14]
    assert read_run(run, brief=True).state.seconds == pytest.approx(read_run(run).state.seconds)
    assert read_run(run, brief=True).state.progress == read_run(run).state.progress


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        (started(), False),
        (progress(1, 1), False),
        (saved("best", 1), False),
        (epoch_end(1), True),
        (Finished(seconds=1.0), True),
        (Failed(cause="error", reason="a reason"), True),
        (Stopped(reason="asked", epoch=1, step=0), True),
    ],
    ids=lambda value: "" if isinstance(value, bool) else type(value).__name__,
)
def test_it_is_kept_at_the_end_of_epochs_and_of_the_run(run: RunDirectory, event: AnyEvent, kept: bool) -> None:
    train(run, event)
    found = read_brief(run)
    assert (found is not None) == kept
    if found is not None:
        assert (found.offset, found.lines) == (run.events.stat().st_size, 1)
        assert (found.settings, found.preset) == (TABLES, "pgd-dom-re")


def test_only_what_was_appended_since_is_read(run: RunDirectory) -> None:
    train(run, started(), *map(epoch_end, range(1, 31)))
    before = run.events.read_bytes()
    seen_again = before[-brief.TAIL_BYTES :]
    run.events.write_bytes(b" " * (len(before) - len(seen_again)) + seen_again + encode(epoch_end(31)))
    found = read_run(run, brief=True)
    assert (found.problem, found.state.epochs_done) == (None, 31)
    with run.events.open("ab") as file:
        file.write(b"oops\n")
    assert str(read_run(run, brief=True).problem).startswith(f"{run.events}, line 33: not an event")


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[train]\nepochs = 30\n", b"[train"], ids=repr)
def test_settings_that_have_changed_since_are_read(run: RunDirectory, content: bytes | None) -> None:
    train(run, started(), epoch_end(1))
    run.settings.unlink()
    if content is not None:
        run.settings.write_bytes(content)
    assert read_brief(run) is None
    assert shown(run, brief=True) == shown(run, brief=False)
    told = read_run(run, brief=True).problem
    assert (told is None) == (content in (b"", b"[train]\nepochs = 30\n"))


def test_a_stream_that_was_altered_at_the_same_length_is_read(run: RunDirectory) -> None:
    train(run, started(), epoch_end(1), epoch_end(2))
    run.events.write_bytes(run.events.read_bytes().replace(b'"natural_accuracy":0.', b'"natural_accuracy":7e9'))
    assert read_brief(run) is None
    assert shown(run, brief=True) == shown(run, brief=False)
    assert read_run(run, brief=True).problem is not None


def test_a_resumed_trainer_goes_on_with_it(run: RunDirectory) -> None:
    train(run, started(), epoch_end(1, best=True), Stopped(reason="asked", epoch=1, step=0))
    train(run, started(epoch=1), epoch_end(2))
    assert shown(run, brief=True) == shown(run, brief=False)
    found = read_brief(run)
    assert found is not None
    assert found.lines == 5


def test_epochs_that_are_done_again_are_read_from_the_beginning(run: RunDirectory) -> None:
    """A condensed state does not have the epochs before those that are done again."""
    ends = [epoch_end(number, best=number in (2, 13)) for number in range(1, 15)]
    train(run, started(epochs=20), *ends)
    reader = RunReader(run, brief=True)
    assert reader.read().state.best == EventReader(run.events).read()[13]
    with run.events.open("ab") as file:
        file.write(encode(started(epoch=8, epochs=20)))
    state = reader.read().state
    assert (state.epochs_done, state.best and state.best.epoch) == (8, 2)
    assert shown(run, brief=True) == shown(run, brief=False)


@given(st.lists(st.booleans() | st.just("resume") | st.just("progress"), max_size=15))
def test_whatever_happens_a_brief_says_what_the_stream_does(tmp_path_factory: Any, course: list[bool | str]) -> None:
    run = create(tmp_path_factory.mktemp("runs"), "a", TABLES, {})
    writer = BriefWriter(run)
    writer.write(started(epochs=20))
    done = 0
    for one in course:
        if one == "resume":
            done //= 2
            writer.write(started(epoch=done, epochs=20))
        elif one == "progress":
            writer.write(progress(done + 1, 1))
        else:
            done += 1
            writer.write(epoch_end(done, best=bool(one)))
    writer.close()
    assert shown(run, brief=True) == shown(run, brief=False)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b'{"offset": 1}', b"[" * 100_000], ids=lambda one: repr(one[:9])
)
def test_a_damaged_brief_is_not_used(run: RunDirectory, content: bytes) -> None:
    train(run, started(), epoch_end(1))
    expected = shown(run, brief=False)
    run.brief.write_bytes(content)
    assert read_brief(run) is None
    assert shown(run, brief=True) == expected


def test_a_brief_of_another_version_or_a_longer_stream_is_not_used(run: RunDirectory) -> None:
    train(run, started(), epoch_end(1), epoch_end(2))
    kept = read_brief(run)
    assert kept is not None
    run.brief.write_bytes(msgspec.json.encode(msgspec.structs.replace(kept, version=kept.version + 1)))
    assert read_brief(run) is None
    run.brief.write_bytes(msgspec.json.encode(kept))
    run.events.write_bytes(encode(started()) + encode(epoch_end(1)))
    assert read_brief(run) is None
    assert read_run(run, brief=True).state.epochs_done == 1


def test_a_full_disk_is_no_reason_to_fail(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(brief, "replace_text", refuse)
    train(run, started(), epoch_end(1))
    assert not run.brief.exists()
    assert [type(event) for event in EventReader(run.events).read()][1] is EpochEnd


def collapsing(epochs: int) -> list[EpochEnd]:
    """Epochs whose robust accuracy falls to nothing after the sixth, while one-step accuracy climbs."""
    ends = []
    for number in range(1, epochs + 1):
        end = epoch_end(number)
        fallen = number > 6
        test = msgspec.structs.replace(
            end.test,
            natural_accuracy=0.6,
            pgd_accuracy=0.0 if fallen else 0.3,
            one_step_accuracy=0.8 if fallen else 0.4,
        )
        train = msgspec.structs.replace(end.train, robust_loss=1.5, robust_accuracy=0.9 if fallen else 0.4)
        ends.append(msgspec.structs.replace(end, test=test, train=train))
    return ends


def test_findings_rest_on_all_epochs_and_follow_the_run(run: RunDirectory) -> None:
    writer = BriefWriter(run)
    reader = RunReader(run, brief=True)
    writer.write(msgspec.structs.replace(started(epochs=20), test_size=10_000))
    for end in collapsing(6):
        writer.write(end)
    assert reader.read().findings == ()
    reader = RunReader(run, brief=True)
    for end in collapsing(16)[6:]:
        writer.write(end)
    writer.close()
    expected = read_run(run).findings
    assert [(finding.badge, finding.epoch) for finding in expected] == [("CO", 7)]
    assert reader.read().findings == expected
    assert read_run(run, brief=True).findings == expected
