"""The only writer to stdout, which carries data; everything else a person reads goes to stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_WIDTH = 1000
"""Columns of a table that does not go to a terminal: wide enough that nothing of it is cut."""


def data(line: str) -> None:
    """Write a line of data to stdout."""
    sys.stdout.write(line + "\n")


def text(part: str) -> None:
    """Write text to stdout as it is, at once, without a newline of its own."""
    sys.stdout.write(part)
    sys.stdout.flush()


def json_data(value: Any) -> None:
    """Write a value to stdout as indented JSON; what is not finite or not JSON is a bug and raises."""
    data(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def table(renderable: RenderableType) -> None:
    """Write something rich can render to stdout: styled on a terminal, plain text elsewhere."""
    console(sys.stdout).print(renderable)


def note(line: str) -> None:
    """Tell the person something on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def error(sentence: str) -> None:
    """Write `error: ...` to stderr, the first word red on a terminal."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    note(("\033[1;31merror:\033[0m " if coloured else "error: ") + sentence)


def console(stream: TextIO) -> Console:
    """Return a rich console for a stream that never cuts or colours what goes to a file or pipe."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(file=stream, highlight=False, width=None if terminal else PLAIN_WIDTH, soft_wrap=False)
