"""The only writer to stdout, which carries data; everything else a person reads goes to stderr.

What it writes may hold anything, and comes out printable: see `domcli.printable`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from domcli.cli import streams
from domcli.printable import as_json, printable, printable_json, printable_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

NOT_ASCII = re.compile(r"[^\x00-\x7f]")
LOST = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG)
"""What the system says of a stream that takes no more."""


def data(line: str) -> None:
    """Write a line of data to stdout."""
    sys.stdout.write(printable(line) + "\n")


def lines(found: Iterable[str]) -> None:
    """Write lines of data to stdout; none of them, whatever it quotes, becomes two."""
    for line in found:
        sys.stdout.write(printable_line(line) + "\n")


def text(part: str) -> None:
    """Write text to stdout, at once, without a newline of its own."""
    sys.stdout.write(printable(part))
    sys.stdout.flush()


def styled(line: Iterable[tuple[str, str]], *, coloured: bool) -> None:
    """Write a line of pieces of text to stdout at once, each with its style: numbers of SGR such as `1;31`, or none."""
    pieces = [(printable(piece), style if coloured else "") for piece, style in line]
    sys.stdout.write("".join(_painted(piece, style) if piece and style else piece for piece, style in pieces) + "\n")
    sys.stdout.flush()


def json_data(value: Any) -> None:
    """Write a value to stdout as indented JSON (see `domcli.printable.as_json`)."""
    json_text(as_json(value))


def json_text(written: str) -> None:
    """Write JSON to stdout, which stays JSON whatever the encoding of stdout has no letters for."""
    written = printable_json(written)
    if not is_unicode(sys.stdout):
        written = NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], written)
    sys.stdout.write(written)


def table(renderable: RenderableType) -> None:
    """Write something rich can render to stdout: styled on a terminal, plain text elsewhere."""
    console(sys.stdout).print(renderable)


def note(line: str) -> None:
    """Tell the person something in a line on stderr, which stays one whatever it quotes.

    Where that cannot be written, the work goes on without a word. Raises BrokenPipeError if whoever read it has gone.
    """
    try:
        sys.stderr.write(printable_line(line) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        streams.let_go(sys.stderr)


def warning(sentence: str) -> None:
    """Write `warning: ...` to stderr: what is done as it was asked for, and is probably not meant."""
    note(f"warning: {sentence}")


def error(sentence: str) -> None:
    """Write `error: ...` to stderr, the first word red on a terminal."""
    try:
        if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
            sys.stderr.write(_painted("error:", "1;31") + " ")
        else:
            sys.stderr.write("error: ")
    except OSError:
        streams.let_go(sys.stderr)
    note(sentence)


@contextlib.contextmanager
def written_out() -> Iterator[None]:
    """Write out what is left in stdout at the end, and end with 1 if it cannot be written.

    A reader that has gone (`domcli runs | head`) is no error worth a word.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as lost:
        if lost.errno not in LOST or lost.filename is not None:
            raise
        for stream in (sys.stdout, sys.stderr):
            _flush_or_let_go(stream)
        if not isinstance(lost, BrokenPipeError):
            error(f"cannot write the output: {lost.strerror}")
        sys.exit(1)


def console(stream: TextIO) -> Console:
    """Return a rich console for a stream that never cuts or colours what goes to a file or pipe."""
    from domcli.cli.console import PrintableConsole

    return PrintableConsole(stream)


def is_unicode(stream: TextIO) -> bool:
    """Tell whether a stream has every letter there is."""
    return (stream.encoding or "").lower().startswith("utf")


def can_draw(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal on which bars can be drawn, and drawn over."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and is_unicode(stream)


def _painted(piece: str, style: str) -> str:
    return f"\033[{style}m{piece}\033[0m"


def _flush_or_let_go(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        streams.let_go(stream)
