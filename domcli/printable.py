r"""Text that may hold anything, made safe to show: a terminal obeys some characters, and others turn text around.

Names, settings, logs and the reasons of failures come from files that anybody may have written. What is not to be shown
as it is becomes an escape that one can read: `\x1b` for ESC, `\u202e` for a sign that turns the direction of text,
`\xff` for a byte of a name that is not UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# C0 and DEL and C1; marks, embeddings, overrides and isolates of direction; separators of lines and paragraphs; halves
# of pairs, of which Python makes one for each byte that is not UTF-8.
_OTHERS = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_OTHERS}]")
_IN_A_LINE = re.compile(f"[\x00-\x1f{_OTHERS}]")

_NAMED = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\\t", "\\r")
"""How a cell begins that a spreadsheet takes for a formula; tab and carriage return are escaped before."""


def printable(text: str) -> str:
    """Return lines of text as they can be shown: newlines and tabs stay, all other controls are escaped."""
    return text if text.isprintable() else _IN_LINES.sub(_escape, text)


def printable_line(text: str) -> str:
    """Return text that must not go beyond its line, as a name: newlines and tabs are escaped, too."""
    return text if text.isprintable() else _IN_A_LINE.sub(_escape, text)


def quoted(text: str) -> str:
    """Return a text that somebody has typed or named something, in quotes and on one line."""
    return f"'{printable_line(text)}'"


def printable_json(written: str) -> str:
    """Return JSON as it can be shown: what stands in its strings is escaped as JSON does that.

    For a byte that is not UTF-8 it has no escape; there the string holds what `printable` shows.
    """
    return written if written.isprintable() else _IN_LINES.sub(_escape_in_json, written)


def as_json(value: Any) -> str:
    """Return a value as indented JSON that can be shown, a line of it at the end: the one rule for JSON that goes out.

    A number that is not finite becomes null, and text what JSON has not: a date of TOML, a path.
    """
    return printable_json(json.dumps(_valid(value), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def cell(text: str) -> str:
    """Return text as a cell of a CSV file: one line, and nothing that a spreadsheet would compute (it gets a `'`)."""
    shown = printable_line(text)
    return f"'{shown}" if len(shown) > 1 and shown.startswith(_FORMULA) and not _is_number(shown) else shown


def log_to_stderr() -> None:
    """Have what this process logs written to stderr with its time, as it can be shown."""
    import logging

    class Printable(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Printable("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _valid(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _valid(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _escape_in_json(found: re.Match[str]) -> str:
    sign = found[0]
    return _escape(found).replace("\\", "\\\\") if "\ud800" <= sign <= "\udfff" else f"\\u{ord(sign):04x}"


def _escape(found: re.Match[str]) -> str:
    sign = found[0]
    if sign in _NAMED:
        return _NAMED[sign]
    code = ord(sign)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
