"""The three streams of a command: they may be closed, full, without a reader, or in an encoding with few letters."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

SIGNS = {"\u2500": "-", "±": "+-"}
"""What stands for signs of our own where an encoding does not have them."""
SPELLED = "domcli-spelled"
"""How streams treat letters that their encoding does not have."""


def prepare() -> None:
    """Have all three streams usable, before a file is opened: it would get the number of one that is closed.

    What is closed reads as empty and writes to nowhere. A letter that an encoding does not have becomes an escape, and
    a sign of our own its like in ASCII.
    """
    for handle, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(handle)
        except OSError:
            _open_nowhere(handle)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(handle, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    codecs.register_error(SPELLED, _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SPELLED)


def spelled(text: str, stream: TextIO) -> str:
    """Return a text with the signs of our own as they come out on a stream, for what is laid out in columns."""
    for sign, plain in SIGNS.items():
        if not sign.encode(stream.encoding or "utf-8", "ignore"):
            text = text.replace(sign, plain)
    return text


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text, place = error.object, error.start
    if text[place] in SIGNS:
        return SIGNS[text[place]], place + 1
    return codecs.backslashreplace_errors(UnicodeEncodeError(error.encoding, text, place, place + 1, error.reason))


def let_go(stream: TextIO) -> None:
    """Have a stream write to nowhere from now on: Python writes out what is left in it once more when it ends."""
    with contextlib.suppress(OSError, ValueError):  # a stream that is not a file
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, stream.fileno())
        os.close(handle)


def _open_nowhere(handle: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    os.dup2(opened, handle)  # children get it, too
    if opened != handle:
        os.close(opened)
    os.set_inheritable(handle, True)
