from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import EVENTS, EXAMPLES, any_event, epoch_end, progress

from domcli import events
from domcli.errors import EventStreamError
from domcli.events import AnyEvent, EpochEnd, Progress, TrainMetrics, decode, encode


@given(any_event())
def test_an_event_survives_its_line(event: AnyEvent) -> None:
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == event


def test_a_line_says_kind_schema_time_and_number() -> None:
    assert json.loads(encode(events.Finished(time=1.5, seq=7, seconds=2.0))) == {
        "kind": "finished",
        "schema": 1,
        "time": 1.5,
        "seq": 7,
        "seconds": 2.0,
    }


def test_kinds_are_those_of_the_design() -> None:
    assert {"started", "progress", "epoch", "checkpoint", "finished", "failed", "stopped"} == events.KINDS
    assert len(EVENTS) == len(EXAMPLES) == len(events.KINDS)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_becomes_null(number: float) -> None:
    train = TrainMetrics(natural_loss=number, natural_accuracy=0.1, robust_loss=number, robust_accuracy=0.0)
    event = decode(encode(msgspec.structs.replace(epoch_end(1), train=train)))
    assert isinstance(event, EpochEnd)
    assert event.train == TrainMetrics(natural_loss=None, natural_accuracy=0.1, robust_loss=None, robust_accuracy=0.0)
    running = decode(encode(msgspec.structs.replace(progress(1, 1), natural_loss=number)))
    assert isinstance(running, Progress)
    assert running.natural_loss is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"telemetry","schema":1,"watts":300}',
        b'{"schema":1,"watts":[1,{"a":null}],"kind":"telemetry"}',
        b'{"kind":"telemetry"}',
    ],
)
def test_an_unknown_kind_is_passed_over(line: bytes) -> None:
    assert decode(line) is None


def test_fields_that_came_later_are_passed_over() -> None:
    line = b'{"kind":"finished","schema":1,"seconds":2.5,"joules":10}'
    assert decode(line) == events.Finished(seconds=2.5)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"finished","schema":2,"seconds":2.5}',
        b'{"kind":"finished","schema":2,"seconds":{"wall":2.5}}',
        b'{"kind":"finished","schema":2}',
        b'{"kind":"telemetry","schema":2}',
        b'{"schema":2}',
    ],
)
def test_a_newer_schema_is_refused(line: bytes) -> None:
    with pytest.raises(EventStreamError, match=r"newer domcli \(event schema 2, this version reads up to 1\)"):
        decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"kind":null}',
        b'{"kind":["finished"]}',
        b'{"kind":"finished"}',
        b'{"kind":"finished","seconds":"long"}',
        b'{"kind":"finished","seconds":2.5}}',
        b'{"kind":"telemetry", broken',
        b'{"kind":"telemetry","a":"\xff"}',
        b'{"kind":"telemetry","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"kind":"finished","seconds":1,"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda line: line[:40].decode(errors="replace"),
)
def test_a_damaged_line_is_refused(line: bytes) -> None:
    with pytest.raises(EventStreamError, match="not an event"):
        decode(line)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_cut_line_is_refused(event: AnyEvent) -> None:
    line = encode(event).rstrip()
    for length in range(len(line)):
        with pytest.raises(EventStreamError):
            decode(line[:length])


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps({"kind": text}).encode()))
def test_whatever_a_line_holds_it_is_an_event_unknown_or_refused(line: bytes) -> None:
    try:
        event = decode(line)
    except EventStreamError:
        event = None
    assert event is None  # and nothing else was raised
