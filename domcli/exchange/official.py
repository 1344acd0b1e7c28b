"""Reads the log of the paper's official implementation: its arguments, version and header, then a line an epoch.

A file may hold several runs one after the other, because the official script appends: a run that resumes goes on with
the one before it, a run that starts afresh takes its place.
"""

from __future__ import annotations

import ast
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domcli import files
from domcli.errors import DomcliError

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "none": ("Train NA", "Test NA"),
    "pgd": ("Train NA", "Train RO", "Test NA", "Test RO"),
    "fgsm": ("Train NA", "Train FGSM", "Train RO", "Test NA", "Test FGSM", "Test RO"),
}
"""What is measured for each value of `attack`, a loss and an accuracy each, in the order of the log. RO is PGD."""

_LINE = re.compile(r"\[(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)\] - (.*)")
_RESUMING = re.compile(r"Resuming at epoch \d+")
_VERSION = re.compile(r"V\d[\w.]*")
_EPOCH = (re.compile(r"\d{1,6}"), "a whole number")
_SECONDS = (re.compile(r"\d+\.\d"), "seconds with one decimal")
_RATE = (re.compile(r"\d+\.\d{4}"), "a learning rate with four decimals")
_LOSS = (re.compile(r"\d+\.\d{4}|nan|inf"), "a loss with four decimals")
_ACCURACY = (re.compile(r"0\.\d{4}|1\.0000"), "a fraction with four decimals")


class OfficialLogError(DomcliError):
    """A file is not a whole log of the official implementation: names the file, the line and what was expected."""


@dataclass(frozen=True)
class Measured:
    """Mean cross-entropy, None where it is not finite, and accuracy as a fraction."""

    loss: float | None
    accuracy: float


@dataclass(frozen=True)
class LoggedEpoch:
    """A line of the log. `epoch` counts from 0, `time` is in seconds since 1970; `measured` is by column."""

    line: int
    time: float
    epoch: int
    train_seconds: float
    test_seconds: float
    lr: float
    measured: Mapping[str, Measured]


@dataclass(frozen=True)
class Session:
    """What one start of the official script logged, from the line with its arguments on."""

    line: int
    time: float
    arguments: Mapping[str, Any]
    version: str
    epochs: tuple[LoggedEpoch, ...]

    @property
    def first_epoch(self) -> int:
        """The epoch, from 0, at which it began: 0 unless it resumed."""
        resume = self.arguments.get("resume", 0)
        return resume if isinstance(resume, int) else 0


@dataclass(frozen=True)
class OfficialLog:
    """The last run in a log: the session that began it and those that resumed it."""

    path: Path
    text: str
    sessions: tuple[Session, ...]

    def place(self, line: int) -> str:
        """Return how a line of this log is named in messages."""
        return f"{self.path}, line {line}"


@dataclass(frozen=True)
class _Line:
    number: int
    time: float
    message: str


def read_log(path: Path) -> OfficialLog:
    """Return the run that a log of the official implementation records.

    Times of the log are taken as local time here. Raises OfficialLogError for a file that cannot be read or is not
    such a log from its first to its last line.
    """
    text = _text(path)
    lines = _lines(path, text)
    if not lines:
        raise _problem(path, 1, "the file is empty; expected the arguments, Namespace(model=..., ...)")
    sessions: list[Session] = []
    position = 0
    while position < len(lines):
        session, position = _session(path, lines, position)
        sessions = [*sessions, session] if session.first_epoch else [session]
    _check_joints(path, sessions)
    if not any(session.epochs for session in sessions):
        raise _problem(path, lines[-1].number, "the log ends here; expected a line with epoch 0")
    return OfficialLog(path, text, tuple(sessions))


def _problem(path: Path, line: int, sentence: str) -> OfficialLogError:
    return OfficialLogError(f"{path}, line {line}: {sentence}")


def _text(path: Path) -> str:
    try:
        # Editors of other systems put a mark before the first letter (a BOM).
        return files.read_bytes(path, files.LARGE).decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise OfficialLogError(f"cannot read {path}: {error.strerror}") from error


def _lines(path: Path, text: str) -> list[_Line]:
    lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        found = _LINE.fullmatch(line)
        moment = None if found is None else _seconds(found[1])
        if found is None or moment is None:
            raise _problem(path, number, f"expected '[YYYY/MM/DD HH:MM:SS] - ...', found {_shown(line)}")
        lines.append(_Line(number, moment, found[2].strip()))
    return lines


def _seconds(stamp: str) -> float | None:
    try:
        return time.mktime(time.strptime(stamp, "%Y/%m/%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return None


def _session(path: Path, lines: list[_Line], position: int) -> tuple[Session, int]:
    """Return the session that begins at `position`, and the position after it."""
    first = lines[position]
    arguments = _arguments(path, first)
    position += 1
    if position < len(lines) and _RESUMING.fullmatch(lines[position].message):
        position += 1
    version = _next(path, lines, position, "the version, such as V1.0.3")
    if not _VERSION.fullmatch(version.message):
        raise _problem(path, version.number, f"expected the version, such as V1.0.3, found {_shown(version.message)}")
    columns = COLUMNS[arguments["attack"]]
    _check_header(path, _next(path, lines, position + 1, "the header, Epoch first"), columns)
    position += 2
    epochs: list[LoggedEpoch] = []
    while position < len(lines) and not lines[position].message.startswith("Namespace("):
        epochs.append(_epoch(path, lines[position], columns))
        position += 1
    session = Session(first.number, first.time, arguments, version.message, tuple(epochs))
    for offset, epoch in enumerate(epochs):
        expected = session.first_epoch + offset
        if epoch.epoch != expected:
            raise _problem(path, epoch.line, f"epoch {epoch.epoch} stands here; expected epoch {expected}")
    return session, position


def _next(path: Path, lines: list[_Line], position: int, expected: str) -> _Line:
    if position >= len(lines):
        raise _problem(path, lines[-1].number, f"the log ends here; expected {expected} after it")
    return lines[position]


def _arguments(path: Path, line: _Line) -> dict[str, Any]:
    """Return the arguments of `Namespace(name=value, ...)`; only literals are read, nothing is evaluated."""
    expected = f"expected the arguments, Namespace(model=..., ...), found {_shown(line.message)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what only looks strange, Python tells on stderr
            call = ast.parse(line.message, mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Namespace"):
            raise _problem(path, line.number, expected)
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise _problem(path, line.number, expected) from error
    if call.args or None in (keyword.arg for keyword in call.keywords) or len(arguments) != len(call.keywords):
        raise _problem(path, line.number, expected)
    if arguments.get("eval"):
        raise _problem(path, line.number, "eval=True: this is the log of an evaluation; expected one of a training")
    attack = arguments.get("attack", "missing")
    if not isinstance(attack, str) or attack not in COLUMNS:
        raise _problem(path, line.number, f"the argument attack is {attack!r}; expected one of {', '.join(COLUMNS)}")
    return arguments


def _check_header(path: Path, line: _Line, columns: tuple[str, ...]) -> None:
    expected = ["Epoch", "Train Time", "Test Time", "LR"]
    expected += [f"{column} {what}" for column in columns for what in ("Loss", "Acc")]
    found = [title.strip() for title in line.message.split("\t") if title.strip()]
    if found != expected:
        raise _problem(path, line.number, f"expected the header {', '.join(expected)}; found {_shown(line.message)}")


def _epoch(path: Path, line: _Line, columns: tuple[str, ...]) -> LoggedEpoch:
    fields = line.message.split()
    titles = [("Epoch", _EPOCH), ("Train Time", _SECONDS), ("Test Time", _SECONDS), ("LR", _RATE)]
    for column in columns:
        titles += [(f"{column} Loss", _LOSS), (f"{column} Acc", _ACCURACY)]
    for (title, (pattern, expected)), text in zip(titles, fields, strict=False):
        if not pattern.fullmatch(text):
            raise _problem(path, line.number, f"{title} is {_shown(text)}; expected {expected}")
    if len(fields) != len(titles):
        raise _problem(
            path, line.number, f"{len(fields)} values stand here; expected {len(titles)}, from Epoch to {titles[-1][0]}"
        )
    values = iter(fields[4:])
    measured = {column: Measured(_finite(next(values)), float(next(values))) for column in columns}
    train_seconds, test_seconds, lr = map(float, fields[1:4])
    return LoggedEpoch(line.number, line.time, int(fields[0]), train_seconds, test_seconds, lr, measured)


def _finite(text: str) -> float | None:
    return None if text in ("nan", "inf") else float(text)


def _check_joints(path: Path, sessions: list[Session]) -> None:
    done = 0
    for session in sessions:
        if session.first_epoch > done:
            known = f"the epochs before it end with {done - 1}" if done else "the epochs before it are not in this file"
            raise _problem(
                path, session.line, f"the run resumes at epoch {session.first_epoch}; {known}: put the whole log in one"
            )
        done = session.first_epoch + len(session.epochs)


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
