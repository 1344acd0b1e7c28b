from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import EXAMPLES, any_event, progress

from domcli.errors import EventStreamError, StorageError
from domcli.events import AnyEvent, Event, Finished, decode, encode
from domcli.stream import TAIL_BYTES, EventReader, EventWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def write_all(path: Path, *events: Event) -> list[AnyEvent]:
    writer = EventWriter(path)
    written = [writer.write(event) for event in events]  # type: ignore[arg-type]
    writer.close()
    return written


def numbers(path: Path) -> list[int]:
    return [event.seq for event in EventReader(path).read()]


def test_what_is_written_is_read(path: Path) -> None:
    written = write_all(path, *EXAMPLES)
    assert EventReader(path).read() == written
    assert [type(event) for event in written] == [type(event) for event in EXAMPLES]


def test_events_are_stamped_with_time_and_number(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 11.5])
    monkeypatch.setattr("domcli.stream.time.time", lambda: next(clock))
    written = write_all(path, progress(1, 1), progress(1, 2))
    assert [(event.seq, event.time) for event in written] == [(0, 10.0), (1, 11.5)]


def test_an_event_is_one_write_of_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    real = os.write
    monkeypatch.setattr("domcli.stream.os.write", lambda file, data: (writes.append(data), real(file, data))[1])
    written = write_all(path, *EXAMPLES)
    assert writes == [encode(event) for event in written]


def test_numbers_go_on_when_the_stream_is_reopened(path: Path) -> None:
    write_all(path, progress(1, 1), progress(1, 2))
    write_all(path, progress(1, 3))
    assert numbers(path) == [0, 1, 2]


@given(st.integers(1, 1_000_000))
def test_a_torn_last_line_is_cut_off(cut: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        first, second = write_all(path, progress(1, 1), progress(1, 2))
        torn = encode(second).rstrip()
        path.write_bytes(encode(first) + torn[: 1 + cut % len(torn)])
        write_all(path, Finished(seconds=1.0))
        assert numbers(path) == [0, 1]
        assert path.read_bytes().startswith(encode(first))


@pytest.mark.parametrize("length", [1, TAIL_BYTES - 1, TAIL_BYTES, TAIL_BYTES + 1, 3 * TAIL_BYTES])
def test_a_torn_line_of_any_length_is_cut_off(path: Path, length: int) -> None:
    write_all(path, progress(1, 1))
    with path.open("ab") as file:
        file.write(b"x" * length)
    write_all(path, progress(1, 2))
    assert numbers(path) == [0, 1]


def test_a_stream_of_nothing_but_a_torn_line_begins_again(path: Path) -> None:
    path.write_bytes(b'{"kind":"star')
    write_all(path, progress(1, 1))
    assert numbers(path) == [0]


@pytest.mark.parametrize("damage", [b"\xff\xff\n", b"[]\n", b'"text"\n', b'{"seq":"many"}\n', b"\n"])
def test_numbers_go_on_after_a_damaged_line(path: Path, damage: bytes) -> None:
    write_all(path, progress(1, 1), progress(1, 2))
    with path.open("ab") as file:
        file.write(damage)
    assert write_all(path, progress(1, 3))[0].seq == 2


def test_a_short_write_leaves_the_stream_as_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = EventWriter(path)
    writer.write(progress(1, 1))
    before = path.read_bytes()
    real = os.write
    with monkeypatch.context() as full_disk:
        full_disk.setattr("domcli.stream.os.write", lambda file, data: real(file, data[:10]))
        with pytest.raises(StorageError, match=rf"cannot write {path}: No space left on device"):
            writer.write(progress(1, 2))
    assert path.read_bytes() == before
    writer.write(progress(1, 3))
    writer.close()
    assert numbers(path) == [0, 1]


def test_a_full_disk_leaves_the_stream_as_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = EventWriter(path)
    writer.write(progress(1, 1))

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full_disk:
        full_disk.setattr("domcli.stream.os.write", refuse)
        with pytest.raises(StorageError, match="No space left on device"):
            writer.write(progress(1, 2))
    assert writer.write(progress(1, 3)).seq == 1
    writer.close()
    assert numbers(path) == [0, 1]


def test_a_stream_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*missing/events.jsonl: No such file"):
        EventWriter(tmp_path / "missing" / "events.jsonl")


@given(st.lists(any_event(), max_size=6), st.lists(st.integers(1, 400), max_size=20))
def test_readers_never_see_half_an_event(events: list[AnyEvent], sizes: list[int]) -> None:
    content = b"".join(map(encode, events))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        reader = EventReader(path)
        seen: list[AnyEvent] = []
        start = 0
        for size in [*sizes, len(content)]:
            with path.open("ab") as file:
                file.write(content[start : start + size])
            start += size
            seen += reader.read()
            assert seen == [decode(line) for line in content[:start].split(b"\n")[:-1]]
        assert seen == events


def test_a_reader_reads_only_what_is_new(path: Path) -> None:
    reader = EventReader(path)
    assert reader.read() == []
    first = write_all(path, progress(1, 1))
    assert reader.read() == first
    assert reader.read() == []
    second = write_all(path, progress(1, 2), progress(1, 3))
    assert reader.read() == second


def test_unknown_kinds_are_passed_over(path: Path) -> None:
    path.write_bytes(b'{"kind":"telemetry","schema":1}\n' + encode(progress(1, 1)))
    assert EventReader(path).read() == [progress(1, 1)]


def test_a_damaged_line_is_named_and_costs_nothing_else(path: Path) -> None:
    known = [progress(1, 1), progress(1, 2)]
    path.write_bytes(encode(known[0]) + b"{oops}\n" + b"[]\n" + encode(known[1]))
    reader = EventReader(path)
    with pytest.raises(EventStreamError, match=rf"^{path}, line 2: not an event"):
        reader.read()
    assert reader.read() == known
    assert reader.read() == []


def test_a_newer_stream_is_refused_with_its_line(path: Path) -> None:
    newer = msgspec.structs.replace(Finished(seconds=1.0), schema=2)
    path.write_bytes(encode(progress(1, 1)) + encode(newer))
    with pytest.raises(EventStreamError, match=rf"^{path}, line 2: written by a newer domcli"):
        EventReader(path).read()


def test_a_stream_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EventStreamError, match=rf"cannot read {tmp_path}: Is a folder, not a regular file"):
        EventReader(tmp_path).read()
