"""Logs of the official implementation: what is read from whole ones, and what is said of others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from official_logs import COLUMNS, epoch_line, opening, stamp, whole_log, write

from domcli.exchange.official import Measured, OfficialLogError, read_log

START = time.mktime((2024, 3, 5, 7, 0, 9, 0, 0, -1))


@pytest.mark.parametrize("attack", ["none", "pgd", "fgsm"])
def test_every_paradigm_is_read(tmp_path, attack):
    session = read_log(write(tmp_path / "output.log", whole_log(attack=attack))).sessions[0]
    assert session.version == "V1.0.3"
    assert session.time == START
    assert session.arguments["data_dir"] == "../cifar-data"
    assert [epoch.epoch for epoch in session.epochs] == [0, 1, 2, 3]
    second = session.epochs[1]
    assert (second.time, second.train_seconds, second.test_seconds) == (START + 120, 3.1, 14.5)
    assert list(second.measured) == COLUMNS[attack]
    assert second.measured[COLUMNS[attack][-1]].accuracy == 0.6
    assert second.measured["Train NA"] == Measured(1.1, round(0.6 - (len(COLUMNS[attack]) - 1) / 100, 4))


def test_losses_that_are_not_finite_are_unknown(tmp_path):
    lines = [*opening(), epoch_line(0).replace("1.1000", "nan").replace("1.2000", "inf")]
    measured = read_log(write(tmp_path / "output.log", lines)).sessions[0].epochs[0].measured
    assert (measured["Train NA"].loss, measured["Train RO"].loss, measured["Test NA"].loss) == (None, None, 1.3)


def test_lines_of_another_system_are_read(tmp_path):
    path = tmp_path / "output.log"
    path.write_bytes("\r\n".join([*whole_log(), "", ""]).encode())
    assert len(read_log(path).sessions[0].epochs) == 4


def test_a_resumed_run_is_one_run(tmp_path):
    lines = [*whole_log((0.5, 0.6, 0.7)), *opening(30, resume=2), epoch_line(2), epoch_line(3)]
    log = read_log(write(tmp_path / "output.log", lines))
    assert [(session.first_epoch, len(session.epochs)) for session in log.sessions] == [(0, 3), (2, 2)]


def test_a_fresh_start_takes_the_place_of_what_is_before_it(tmp_path):
    lines = [*whole_log((0.5, 0.6), seed=3), *whole_log((0.7,), seed=4)]
    (session,) = read_log(write(tmp_path / "output.log", lines)).sessions
    assert session.arguments["seed"] == 4
    assert len(session.epochs) == 1


GARBLED = {
    "empty": ([], "line 1: the file is empty; expected the arguments"),
    "no arguments": ([f"{stamp(0)}V1.0.3"], "line 1: expected the arguments, Namespace"),
    "no stamp": (["Namespace(attack='pgd')"], "line 1: expected '[YYYY/MM/DD HH:MM:SS] - ...', found \"Namespace("),
    "impossible date": (["[2024/13/05 07:00:00] - V1"], "line 1: expected '[YYYY/MM/DD"),
    "code": ([f"{stamp(0)}Namespace(attack=print('x'))"], "line 1: expected the arguments"),
    "another call": ([f"{stamp(0)}dict(attack='pgd')"], "line 1: expected the arguments"),
    "half of the arguments": ([opening()[0][:200]], "line 1: expected the arguments"),
    "a position": ([f"{stamp(0)}Namespace(1, attack='pgd')"], "line 1: expected the arguments"),
    "nested too deep": ([f"{stamp(0)}Namespace(a={'[' * 5000})"], "line 1: expected the arguments"),
    "unknown attack": (opening(attack="cw"), "line 1: the argument attack is 'cw'; expected one of none, pgd, fgsm"),
    "an evaluation": (opening(eval=True), "line 1: eval=True: this is the log of an evaluation"),
    "only the arguments": (opening()[:1], "line 1: the log ends here; expected the version"),
    "no version": ([opening()[0], opening()[2]], "line 2: expected the version, such as V1.0.3, found 'Epoch"),
    "no header": (opening()[:2], "line 2: the log ends here; expected the header"),
    "another paradigm's header": (
        [*opening()[:2], opening(attack="fgsm")[2]],
        "line 3: expected the header Epoch, Train Time, Test Time, LR, Train NA Loss",
    ),
    "no epoch": (opening(), "line 3: the log ends here; expected a line with epoch 0"),
    "torn after a value": (
        [*opening(), epoch_line(0).rpartition(" \t ")[0]],
        "line 4: 11 values stand here; expected 12",
    ),
    "torn in a value": (
        [*opening(), epoch_line(0)[:-2]],
        "line 4: Test RO Acc is '0.50'; expected a fraction with four",
    ),
    "too many values": ([*opening(), epoch_line(0) + " \t 0.1"], "line 4: 13 values stand here; expected 12"),
    "a word": ([*opening(), epoch_line(0).replace("3.1", "fast")], "line 4: Train Time is 'fast'; expected seconds"),
    "accuracy in percent": (
        [*opening(), epoch_line(0).replace("0.5000", "50.0000")],
        "line 4: Test RO Acc is '50.0000'; expected a fraction",
    ),
    "an epoch left out": ([*opening(), epoch_line(0), epoch_line(2)], "line 5: epoch 2 stands here; expected epoch 1"),
    "not from the start": ([*opening(), epoch_line(1)], "line 4: epoch 1 stands here; expected epoch 0"),
    "resumed elsewhere": (
        [*opening(resume=2), epoch_line(2)],
        "line 1: the run resumes at epoch 2; the epochs before it are not in this file",
    ),
    "resumed too far": (
        [*whole_log((0.5,)), *opening(30, resume=2), epoch_line(2)],
        "line 5: the run resumes at epoch 2; the epochs before it end with 0",
    ),
}


@pytest.mark.parametrize(("lines", "problem"), GARBLED.values(), ids=GARBLED)
def test_what_is_not_a_whole_log_is_one_sentence(tmp_path, lines, problem):
    path = write(tmp_path / "output.log", lines)
    with pytest.raises(OfficialLogError) as caught:
        read_log(path)
    assert str(caught.value).startswith(f"{path}, {problem}")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_named_by_line(tmp_path):
    path = write(tmp_path / "output.log", opening())
    path.write_bytes(path.read_bytes() + b"\x93NUMPY\x00\xff")
    with pytest.raises(OfficialLogError, match="line 4: expected"):
        read_log(path)


@pytest.mark.parametrize("name", ["missing.log", "."])
def test_files_that_cannot_be_read_are_named(tmp_path, name):
    with pytest.raises(OfficialLogError, match=r"^cannot read .*: (No such file|Is a folder)"):
        read_log(tmp_path / name)


def test_nothing_in_the_arguments_is_executed(tmp_path):
    mark = tmp_path / "executed"
    line = f"{stamp(0)}Namespace(attack=__import__('pathlib').Path({str(mark)!r}).touch())"
    with pytest.raises(OfficialLogError):
        read_log(write(tmp_path / "output.log", [line]))
    assert not mark.exists()


@given(st.data())
def test_damage_anywhere_is_an_error_or_a_shorter_log_never_a_crash(tmp_path_factory, data):
    text = "\n".join(whole_log())
    cut = data.draw(st.integers(0, len(text) - 1))
    inserted = data.draw(st.text(max_size=5))
    path: Path = tmp_path_factory.getbasetemp() / "damaged.log"
    path.write_text(text[:cut] + inserted, encoding="utf-8", errors="replace")
    found = outcome(path)
    assert found in (1, 2, 3, 4) or f"{path}, line " in str(found)


def outcome(path: Path) -> int | str:
    """How many epochs are read, or what is wrong."""
    try:
        return len(read_log(path).sessions[0].epochs)
    except OfficialLogError as error:
        return str(error)
