r"""The comparison as LaTeX: `table` environments to \input into a paper that loads the package booktabs.

Nothing else is needed. Notes, runs and what was left out stand in comments, so that the file says where its numbers
come from wherever it goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from domcli.compare.comparison import Comparison
from domcli.compare.notes import MORE_SEEDS
from domcli.compare.records import POINTS
from domcli.compare.sheets import (
    Sheet,
    accuracy_cells,
    contrast_sheet,
    left_out_sheet,
    paper_sheets,
    runs_sheet,
    settings_sheet,
    training_sheet,
)

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "[": "{[}",
    "*": "{*}",
    "---": "-{}-{}-",
    "--": "-{}-",
    " - ": " $-$ ",
}
"""What must not stand in a cell as it is. `[` and `*` would be read as arguments of the row end before them."""

LAST_LATIN = "\u017f"
"""The last letter that pdfLaTeX sets without further packages."""

_PATTERN = re.compile("|".join(map(re.escape, sorted(SPECIAL, key=len, reverse=True))))
_MINUS = re.compile(r"(?<![\w.}$-])-(?=\d)|(?<={\[})-(?=\d)")


def latex(comparison: Comparison) -> str:
    """Return the tables, the results first.

    Where rows share their first cells these stand above them once, so that the tables are no wider than a page.
    """
    paper, deviations = paper_sheets(comparison)
    tests = contrast_sheet(comparison)
    others = [
        ("training", training_sheet(comparison), 0),
        ("settings", settings_sheet(comparison), 0),
        ("tests", replace(tests, title=f"{tests.title}; {MORE_SEEDS}"), int(tests.columns[0] == "group")),
        ("paper", paper, 2),
        ("not-paper", deviations, 2),
    ]
    tables = [_results(comparison)]
    tables += [_environment(name, sheet.title, _tabular(sheet, above)) for name, sheet, above in others if sheet.rows]
    beyond = any(sign > LAST_LATIN for table in tables for sign in table)
    return "\n\n".join([_head(comparison, beyond), *tables]) + "\n"


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is."""
    set_ = _PATTERN.sub(lambda found: SPECIAL[found[0]], " ".join(text.split()))
    return _MINUS.sub("$-$", set_)


def _head(comparison: Comparison, beyond_latin: bool) -> str:
    lines = [comparison.origin, r"Needs \usepackage{booktabs} in the preamble."]
    lines += ["Names have letters that pdfLaTeX does not know: use XeLaTeX or LuaLaTeX."] if beyond_latin else []
    lines += [f"Note: {note}" for note in comparison.notes]
    for sheet in (runs_sheet(comparison), left_out_sheet(comparison)):
        if sheet.rows:
            lines += ["", sheet.title, *(" | ".join(row) for row in (sheet.columns, *sheet.rows))]
    return "\n".join(f"% {' '.join(line.split())}".rstrip() for line in lines)


def _results(comparison: Comparison) -> str:
    """Return the accuracies, one below the other."""
    rows = tuple(
        (comparison.title(metric), group.name, str(group.n), *accuracy_cells(comparison, group, metric))
        for metric in comparison.metrics
        for group in comparison.groups
    )
    what = "error" if comparison.error else "accuracy"
    at = "" if comparison.at_epoch is None else f" after {comparison.at_epoch} epochs"
    caption = f"Test {what} (%){at}: {comparison.notes[0]}"
    return _environment("results", caption, _tabular(Sheet("", ("", "", "n", *POINTS), rows, 2), 1))


def _tabular(sheet: Sheet, above: int) -> str:
    """Return a table; the first `above` cells of rows stand in a line of their own, above all that share them."""
    blocks: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for row in sheet.rows:
        blocks.setdefault(row[:above], []).append(row[above:])
    columns = sheet.columns[above:]
    text = sheet.text - above
    body = [_row(columns), r"\midrule"]
    for place, (shared, rows) in enumerate(blocks.items()):
        if above:
            title = r"\emph{" + escaped(": ".join(shared)) + "}"
            body += [*([r"\addlinespace"] if place else []), rf"\multicolumn{{{len(columns)}}}{{l}}{{{title}}} \\"]
        body += map(_row, rows)
    alignment = "l" * text + "r" * (len(columns) - text)
    return "\n".join([rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"])


def _environment(name: str, caption: str, tabular: str) -> str:
    lines = [r"\begin{table}", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{escaped(caption)}}}", rf"\label{{tab:domcli-{name}}}"]
    return "\n".join([*lines, tabular, r"\end{table}"])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"
