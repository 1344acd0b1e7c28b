"""The comparison as one self-contained HTML file: charts, tables, notes, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from domcli.compare.comparison import Comparison
from domcli.compare.curves import QUANTITIES, curve
from domcli.compare.sheets import Sheet, sheets
from domcli.compare.svg import chart

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#7f6bb0", "#808080")
"""Okabe and Ito's, which most people can tell apart, on light and on dark; yellow darkened, violet and grey added."""

DASHES = ("", "6 3", "2 2", "8 3 2 3")
"""Lines of groups that come after the colours are used up."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1b1b; --soft: #666; --rule: #ddd; }
@media (prefers-color-scheme: dark) { :root { --back: #16181c; --text: #e6e6e6; --soft: #9a9a9a; --rule: #33363c; } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem .25rem 0; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid var(--text); font-weight: 600; }
td { border-bottom: 1px solid var(--rule); }
.word { text-align: left; }
.charts { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); }
figure { margin: 0; } figcaption { font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; }
.legend svg { height: .6rem; margin-right: .4rem; width: 2rem; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--rule); } .line { fill: none; stroke-width: 1.8; } .band { opacity: .18; stroke: none; }
.notes, footer { color: var(--soft); }
"""


def html(comparison: Comparison) -> str:
    """Return the whole page; it loads nothing from anywhere."""
    styles = "".join(_styles(len(comparison.groups)))
    tables = [_table(sheet) for sheet in sheets(comparison)]
    first = len(comparison.metrics)  # the accuracies, then how they came about
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Comparison of runs</title><style>{STYLE}{styles}</style></head><body>",
        "<h1>Comparison of runs</h1>",
        f'<ul class="notes">{notes}</ul>',
        *tables[:first],
        _charts(comparison),
        *tables[first:],
        f"<footer><p>{escape(comparison.origin)}</p></footer></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _styles(count: int) -> Iterator[str]:
    for number in range(count):
        colour = COLOURS[number % len(COLOURS)]
        dash = DASHES[number // len(COLOURS) % len(DASHES)]
        yield f".line.s{number} {{ stroke: {colour}; stroke-dasharray: {dash or 'none'}; }}\n"
        yield f".band.s{number}, .dot.s{number} {{ fill: {colour}; }}\n"


def _charts(comparison: Comparison) -> str:
    figures = []
    for quantity in QUANTITIES:
        found = [(number, curve(group, quantity)) for number, group in enumerate(comparison.groups)]
        drawn = [(number, one) for number, one in found if one is not None]
        if drawn:
            title = escape(quantity.label)
            picture = chart([one for _, one in drawn], [number for number, _ in drawn])
            figures.append(f"<figure><figcaption>{title}</figcaption>{picture}</figure>")
    if not figures:
        return ""
    sample = '<svg viewBox="0 0 32 8"><line class="line s{0}" x1="0" x2="32" y1="4" y2="4"/></svg>'
    legend = "".join(
        f"<li>{sample.format(number)}{escape(group.name)} (n = {group.n})</li>"
        for number, group in enumerate(comparison.groups)
        if group.n
    )
    about = "<p>Mean and, as a band, ± 1 standard deviation over the epochs that all runs of a group have.</p>"
    charts = f'<ul class="legend">{legend}</ul><div class="charts">{"".join(figures)}</div>'
    return f"<section><h2>Curves</h2>{about}{charts}</section>"


def _table(sheet: Sheet) -> str:
    def cells(row: tuple[str, ...], tag: str) -> str:
        marks = [' class="word"' if place < sheet.text else "" for place in range(len(row))]
        return "".join(f"<{tag}{mark}>{escape(cell)}</{tag}>" for cell, mark in zip(row, marks, strict=True))

    rows = "".join(f"<tr>{cells(row, 'td')}</tr>\n" for row in sheet.rows)
    head = f"<thead><tr>{cells(sheet.columns, 'th')}</tr></thead>"
    return (
        f'<section><h2>{escape(sheet.title)}</h2><div class="scroll"><table>{head}\n<tbody>\n{rows}</tbody></table>'
        "</div></section>"
    )
