r"""What may reach a terminal: text as it is, and everything that a terminal obeys as an escape that one can read."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domcli.printable import cell, printable, printable_line

CONTROLS = [*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0))]
BIDI = [
    chr(code)
    for code in range(0x110000)
    if unicodedata.bidirectional(chr(code)) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
]
MARKS = ["\u061c", "\u200e", "\u200f"]
SEPARATORS = ["\u2028", "\u2029"]
HALVES = ["\ud800", "\udbff", "\udc00", "\udfff"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\rb\x00\x7f", r"a\rb\x00\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("abc\u202edef\u2066", r"abc\u202edef\u2066"),
        ("one\u2028two\u2029", r"one\u2028two\u2029"),
        (os.fsdecode(b"r\xff\x9b"), r"r\xff\x9b"),
        ("\ud83d", r"\ud83d"),
    ],
)
def test_what_a_terminal_obeys_becomes_readable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable_line(text) == shown


def test_lines_keep_newlines_and_tabs_and_one_line_does_not() -> None:
    assert printable("a\tb\nc\n") == "a\tb\nc\n"
    assert printable_line("a\tb\nc\n") == r"a\tb\nc\n"


@pytest.mark.parametrize(
    "text",
    ["", "plain, ± 0.5 %", r"C:\x1b", "épochs 漢字 한국어 שלום مرحبا", "👩‍🔬 ❤️", "non\u00a0breaking\u00adsoft"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert printable(text) is text or printable(text) == text
    assert printable_line(text) == text


@pytest.mark.parametrize("sign", [*CONTROLS, *BIDI, *MARKS, *SEPARATORS, *HALVES], ids=lambda sign: f"{ord(sign):04x}")
def test_each_one_is_escaped(sign: str) -> None:
    assert sign not in printable_line(f"a{sign}b")
    assert (sign in printable(f"a{sign}b")) == (sign in "\n\t")


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_shown_can_be_written_and_stays_in_its_line(text: str) -> None:
    shown = printable_line(text)
    assert len(f"{shown}x".splitlines()) == 1
    assert "\x1b" not in shown
    assert printable_line(shown) == shown
    printable(text).encode("utf-8")


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-a", "@SUM(A1)", "\t=1", "\r=1", "＝1", "=1\n2"])
def test_a_spreadsheet_computes_no_text(text: str) -> None:
    assert cell(text) == f"'{printable_line(text)}"


@pytest.mark.parametrize("text", ["", "-", "plain", "-1.5", "+3", "-1e9", "a=b", "0;1"])
def test_numbers_and_other_text_are_cells_as_they_are(text: str) -> None:
    assert cell(text) == text
