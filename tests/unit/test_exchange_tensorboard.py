"""TensorBoard event files, read back by a reader of their own: framing, checksums, messages."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import epoch_end, started

from domcli import events
from domcli.errors import StorageError
from domcli.exchange import tensorboard
from domcli.exchange.files import ExportError
from domcli.rundir import RunDirectory
from domcli.runstate import RunState

CRC_VECTORS = {
    b"": 0x00000000,
    b"123456789": 0xE3069283,
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(reversed(range(32))): 0x113FDB5C,
}
"""RFC 3720, Appendix B.4, and the usual check value."""


def bitwise_crc32c(content: bytes) -> int:
    """CRC-32C by polynomial division, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in content:
        for bit in range(8):
            feedback = (crc ^ (byte >> bit)) & 1
            crc = (crc >> 1) ^ (0x82F63B78 * feedback)
    return crc ^ 0xFFFFFFFF


def unmasked(masked: int) -> int:
    rotated = (masked - 0xA282EAD8) % 2**32
    return (rotated << 15 | rotated >> 17) % 2**32


def records(content: bytes) -> list[bytes]:
    found = []
    while content:
        length, length_crc = struct.unpack("<QI", content[:12])
        message, (crc,) = content[12 : 12 + length], struct.unpack("<I", content[12 + length : 16 + length])
        assert unmasked(length_crc) == bitwise_crc32c(content[:8])
        assert unmasked(crc) == bitwise_crc32c(message)
        assert len(message) == length
        found.append(message)
        content = content[16 + length :]
    return found


def varint(content: bytes) -> tuple[int, bytes]:
    value = 0
    for place, byte in enumerate(content):
        value += (byte % 128) * 128**place
        if byte < 128:
            return value, content[place + 1 :]
    raise AssertionError("a number has no end")


def fields(message: bytes) -> list[tuple[int, object]]:
    """Number and value of every field; bytes for what is delimited by a length."""
    found: list[tuple[int, object]] = []
    while message:
        key, message = varint(message)
        number, wire_type = divmod(key, 8)
        value: object
        if wire_type == 0:
            value, message = varint(message)
        elif wire_type == 2:
            length, message = varint(message)
            value, message = message[:length], message[length:]
        else:
            layout, size = {1: ("<d", 8), 5: ("<f", 4)}[wire_type]
            (value,) = struct.unpack(layout, message[:size])
            message = message[size:]
        found.append((number, value))
    return found


def scalars(message: bytes) -> tuple[float, int, dict[str, float]]:
    """Wall time, step and values of an event with a summary."""
    event = dict(fields(message))
    pairs = [dict(fields(value)) for number, value in fields(event[5]) if number == 1]
    return event[1], event[2], {pair[1].decode(): pair[2] for pair in pairs}


def run(folder: Path, name: str = "one") -> RunDirectory:
    return RunDirectory(folder / name)


@pytest.mark.parametrize(("content", "expected"), CRC_VECTORS.items())
def test_the_checksum_is_crc_32c(content, expected):
    assert tensorboard.crc32c(content) == expected


def test_a_file_holds_its_version_and_an_event_per_epoch(tmp_path):
    epochs = tuple(msgspec.structs.replace(epoch_end(n, pgd=n / 8), time=100.5 + n) for n in (1, 2))
    state = RunState(started=started(time=100.25), epochs=epochs)
    (path,) = tensorboard.export([(run(tmp_path), state)], tmp_path / "boards")
    assert path == tmp_path / "boards" / "one" / "events.out.tfevents.0000000100.domcli"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    version, first, second = records(path.read_bytes())
    assert fields(version) == [(1, 100.25), (3, b"brain.Event:2")]
    wall_time, step, values = scalars(first)
    assert (wall_time, step) == (101.5, 1)
    assert (values["test/pgd_accuracy"], values["memorization/histogram/5"]) == (0.125, 97.0)
    assert scalars(second)[:2] == (102.5, 2)
    assert scalars(second)[2]["test/pgd_accuracy"] == 0.25


def test_tags_are_the_columns_without_what_was_not_measured(tmp_path):
    imported = msgspec.structs.replace(epoch_end(1, tested=False), memorization=None)
    (path,) = tensorboard.export([(run(tmp_path), RunState(epochs=(imported,)))], tmp_path)
    assert set(scalars(records(path.read_bytes())[1])[2]) == {
        "lr",
        "train/natural_loss",
        "train/natural_accuracy",
        "train_seconds",
        "test_seconds",
        "images_per_second",
        "memory",
    }


def test_exporting_again_replaces_the_file(tmp_path):
    for done in (1, 2):
        state = RunState(started=started(time=7.0), epochs=tuple(epoch_end(n + 1) for n in range(done)))
        (path,) = tensorboard.export([(run(tmp_path), state)], tmp_path / "boards")
    assert len(records(path.read_bytes())) == 3
    assert len(list(path.parent.iterdir())) == 1


def test_values_beyond_single_precision_are_infinite(tmp_path):
    huge = events.TestMetrics(natural_loss=1e300, natural_accuracy=0.5)
    state = RunState(epochs=(msgspec.structs.replace(epoch_end(1), test=huge),))
    (path,) = tensorboard.export([(run(tmp_path), state)], tmp_path)
    assert scalars(records(path.read_bytes())[1])[2]["test/natural_loss"] == math.inf


def test_two_runs_of_one_name_are_refused_and_nothing_is_written(tmp_path):
    twins = [(run(tmp_path / place), RunState(epochs=(epoch_end(1),))) for place in ("a", "b")]
    with pytest.raises(ExportError, match="two of the runs are named 'one'"):
        tensorboard.export(twins, tmp_path / "boards")
    assert not (tmp_path / "boards").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*tfevents.*: (Not a directory|File exists)"):
        tensorboard.export([(run(tmp_path), RunState(epochs=(epoch_end(1),)))], tmp_path / "file")


@given(
    st.floats(0, 4e9),
    st.integers(0, 2**62),
    st.dictionaries(st.text(min_size=1, max_size=200), st.floats(width=32, allow_nan=False), max_size=5),
)
def test_any_scalars_are_read_back(wall_time, step, expected):
    (message,) = records(tensorboard.record(tensorboard.scalars_event(wall_time, step, expected)))
    found = dict(fields(message))
    assert (found[1], found[2]) == (wall_time, step)
    assert scalars(message)[2] == expected
