"""The comparison in Markdown, with tables as GitHub and most other programs read them."""

from __future__ import annotations

import re

from domcli.compare.comparison import Comparison
from domcli.compare.sheets import Sheet, sheets

_SPECIAL = re.compile(r"([\\`*_|<>])")


def markdown(comparison: Comparison) -> str:
    """Return all tables under headings, then the notes."""
    parts = ["# Comparison of runs", *map(_table, sheets(comparison))]
    parts.append("\n".join(["## Notes", "", *(f"- {_escaped(note)}" for note in comparison.notes)]))
    parts.append(_escaped(comparison.origin))
    return "\n\n".join(parts) + "\n"


def _table(sheet: Sheet) -> str:
    rule = ["---" if place < sheet.text else "---:" for place in range(len(sheet.columns))]
    rows = [sheet.columns, *sheet.rows]
    lines = [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
    lines.insert(1, f"| {' | '.join(rule)} |")
    return "\n".join([f"## {_escaped(sheet.title)}", "", *lines])


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
