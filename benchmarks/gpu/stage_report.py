"""What a stage tells the check that runs it: a file that is written anew with every finding, so none is lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domcli.files import replace_text

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """Where a stage works."""

    cpu: bool
    """Everything at a tiny size, on a CPU."""
    work: Path
    """Its own temporary folder."""
    images: Path | None
    """An archive of images (see images.unpack)."""

    @property
    def device(self) -> str:
        """The device as domcli's commands take it."""
        return "cpu" if self.cpu else "cuda"


class Report:
    """Collects what a stage finds."""

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        self._lines: list[str] = []
        self._found: dict[str, Any] = {}
        self._path = path

    def keep(self, key: str, value: Any) -> None:
        """Keep a measurement, anything that JSON can hold."""
        self._found[key] = value
        self._write()

    def line(self, text: str) -> None:
        """Say something that belongs in the summary."""
        print(text, flush=True)
        self._lines.append(text)
        self._write()

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem, in a sentence, unless something holds."""
        if not holds:
            print(f"PROBLEM {problem}", flush=True)
            self.problems.append(problem)
            self._write()

    def _write(self) -> None:
        told = {"problems": self.problems, "lines": self._lines, "found": self._found}
        replace_text(self._path, json.dumps(told), durable=False)
