"""What the command line writes: printable whatever it holds, styled as it was meant, and whole in every encoding."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys

import pytest
from rich.table import Table
from rich.text import Text

from domcli.cli import output
from domcli.cli.console import PrintableConsole
from domcli.errors import DomcliError
from domcli.printable import log_to_stderr

EVIL = "a\x1b]0;t\x07b\u202ec\udcffd\x9b"
SHOWN = r"a\x1b]0;t\x07b\u202ec\xffd\x9b"


class Terminal(io.StringIO):
    """A terminal of 60 columns."""

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:
        return "utf-8"


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> PrintableConsole:
    for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "60"), ("LINES", "20")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return PrintableConsole(Terminal())


def shown(console: PrintableConsole) -> str:
    assert isinstance(console.file, Terminal)
    return console.file.getvalue()


def test_every_way_out_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    output.data(f"{EVIL}\nnext")
    output.text(f"{EVIL}\n")
    output.lines([f"{EVIL}\nforged", "next"])
    output.styled([(EVIL, "31")], coloured=False)
    output.table(EVIL)
    output.note(EVIL)
    output.error(EVIL)
    out, err = capsys.readouterr()
    assert out.splitlines() == [SHOWN, "next", SHOWN, rf"{SHOWN}\nforged", "next", SHOWN, SHOWN]
    assert err.splitlines() == [SHOWN, f"error: {SHOWN}"]


def test_nothing_quoted_in_a_sentence_becomes_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    for say in (output.note, output.warning, output.error):
        say("run a\nerror: b\r\u2028c is lost")
    shown = r"run a\nerror: b\r\u2028c is lost"
    assert capsys.readouterr().err.split("\n") == [shown, f"warning: {shown}", f"error: {shown}", ""]


@pytest.mark.parametrize("kind", [DomcliError, *DomcliError.__subclasses__()])
def test_an_error_has_as_many_sentences_as_problems_whatever_they_quote(kind: type[DomcliError]) -> None:
    error = kind("no run a\nerror: b", "no run \x1bc")
    assert error.sentences == [r"no run a\nerror: b", r"no run \x1bc"]
    assert str(error) == "\n".join(error.sentences)
    assert kind("one").sentences == ["one"]


def test_styles_of_pieces_stay(capsys: pytest.CaptureFixture[str]) -> None:
    output.styled([("plain ", ""), (EVIL, "31"), ("", "1")], coloured=True)
    assert capsys.readouterr().out == f"plain \x1b[31m{SHOWN}\x1b[0m\n"


def test_json_stays_json_and_keeps_what_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    output.json_data({EVIL: ["± 漢 \U0001f600", "tab\t\u2028"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {EVIL.replace("\udcff", r"\xff"): ["± 漢 \U0001f600", "tab\t\u2028"]}
    assert "± 漢 \U0001f600" in out
    assert not {"\x1b", "\x07", "\u202e", "\x9b", "\u2028"} & set(out)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_json_stays_json_where_letters_lack(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    output.json_data(["± 漢 \U0001f600"])
    sys.stdout.flush()
    assert json.loads(written.getvalue().decode("ascii")) == ["± 漢 \U0001f600"]


def test_rich_lays_out_what_is_shown_and_keeps_its_own_styles(console: PrintableConsole) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=0)
    table.add_row(EVIL, " [red]x ", Text("\x1b[2J!", style="bold", overflow="fold"))
    console.print(table)
    console.print(Text.assemble(("a\x1b]0;b", "red"), ("tail", "green")))
    first, *more, last, _ = shown(console).split("\n")
    # rich measures a Text before it is made printable, so that this one has less room than it needs.
    assert first == f"{SHOWN} [red]x \x1b[1m\\x1b\x1b[0m"
    assert "".join(more).replace(" ", "") == "\x1b[1m[2J!\x1b[0m"
    assert last == r"@a\x1b]0;b%@tail%".replace("@", "\x1b[31m", 1).replace("@", "\x1b[32m").replace("%", "\x1b[0m")


def test_a_stream_that_takes_no_notes_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    output.note("lost")
    output.error("lost")


def test_who_reads_notes_may_go_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Gone())
    with pytest.raises(BrokenPipeError):
        output.note("lost")


def test_bars_are_drawn_only_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    assert output.can_draw(terminal)
    monkeypatch.setattr(Terminal, "encoding", "iso-8859-1")
    assert not output.can_draw(terminal)
    monkeypatch.setattr(Terminal, "encoding", "utf-8")
    monkeypatch.setenv("TERM", "dumb")
    assert not output.can_draw(terminal)
    assert not output.can_draw(io.StringIO())


def test_what_a_process_logs_is_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log_to_stderr()
    logging.getLogger("any").warning("reading %s", EVIL)
    assert written.getvalue().endswith(f" reading {SHOWN}\n")
