"""What leaves the dashboard: lines of the screen, in which nothing is left that a terminal obeys, and new files."""

from __future__ import annotations

import os
from pathlib import Path

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from domcli import files
from domcli.printable import printable_line


class PrintableFilter(LineFilter):
    """Shows as an escape what a terminal would obey in a text. The line stays as wide as it was laid out."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Return the segments of a line as they can be shown."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        shown = [
            segment if segment.control else Segment(printable_line(segment.text), segment.style) for segment in segments
        ]
        return Segment.adjust_line_length(shown, Segment.get_line_length(segments))


def write_new(path: Path, data: bytes) -> Path:
    """Write a file, as the first of `name`, `name-2`, `name-3`, ... that does not exist, and return its path.

    Nothing is overwritten, and no half of a file stays there. Raises OSError.
    """
    number, new = 1, path
    while True:
        try:
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError:  # noqa: PERF203 - it is rare
            number += 1
            new = path.with_name(f"{path.stem}-{number}{path.suffix}")
        else:
            break
    try:
        files.replace(new, lambda file: file.write(data))
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new
