r"""The comparison as LaTeX: `table` environments to \input into a paper that loads the package booktabs.

Nothing else is needed. Notes, runs and what was left out stand in comments, so that the file says where its numbers
come from wherever it goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from domcli.compare.comparison import Comparison
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
    "--": "-{}-",
    " - ": " $-$ ",
}
"""What must not stand in a cell as it is. `[` and `*` would be read as arguments of the row end before them."""

_PATTERN = re.compile("|".join(map(re.escape, sorted(SPECIAL, key=len, reverse=True))))
_MINUS = re.compile(r"(?<![\w.}$-])-(?=\d)|(?<={\[})-(?=\d)")


def latex(comparison: Comparison) -> str:
    """Return the tables, the results first."""
    paper, deviations = paper_sheets(comparison)
    others = [
        ("training", training_sheet(comparison)),
        ("settings", settings_sheet(comparison)),
        ("tests", contrast_sheet(comparison)),
        ("paper", paper),
        ("not-paper", deviations),
    ]
    parts = [_head(comparison), _results(comparison)]
    parts += [_environment(name, sheet.title, _tabular(sheet)) for name, sheet in others if sheet.rows]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is."""
    set_ = _PATTERN.sub(lambda found: SPECIAL[found[0]], " ".join(text.split()))
    return _MINUS.sub("$-$", set_)


def _head(comparison: Comparison) -> str:
    lines = [comparison.origin, r"Needs \usepackage{booktabs} in the preamble."]
    lines += [f"Note: {note}" for note in comparison.notes]
    for sheet in (runs_sheet(comparison), left_out_sheet(comparison)):
        if sheet.rows:
            lines += ["", sheet.title, *(" | ".join(row) for row in (sheet.columns, *sheet.rows))]
    return "\n".join(f"% {' '.join(line.split())}".rstrip() for line in lines)


def _results(comparison: Comparison) -> str:
    """Return the accuracies side by side, as papers show them."""
    metrics, width = comparison.metrics, len(POINTS)
    groups = "".join(rf" & \multicolumn{{{width}}}{{c}}{{{escaped(comparison.title(metric))}}}" for metric in metrics)
    rules = "".join(rf" \cmidrule(lr){{{3 + width * i}-{2 + width * (i + 1)}}}" for i in range(len(metrics)))
    titles = ["", "n", *POINTS * len(metrics)]
    rows = [
        [group.name, str(group.n), *(cell for m in metrics for cell in accuracy_cells(comparison, group, m))]
        for group in comparison.groups
    ]
    lines = [
        rf"\begin{{tabular}}{{lr{'r' * width * len(metrics)}}}",
        r"\toprule",
        *([f" & {groups} \\\\", rules.strip()] if metrics else []),
        _row(titles),
        r"\midrule",
        *map(_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    what = "error" if comparison.error else "accuracy"
    at = "" if comparison.at_epoch is None else f" after {comparison.at_epoch} epochs"
    caption = f"Test {what} (%){at}: {comparison.notes[0]}"
    return _environment("results", caption, "\n".join(lines))


def _tabular(sheet: Sheet) -> str:
    alignment = "l" * sheet.text + "r" * (len(sheet.columns) - sheet.text)
    body = [_row(sheet.columns), r"\midrule", *map(_row, sheet.rows)]
    return "\n".join(
        [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"],
    )


def _environment(name: str, caption: str, tabular: str) -> str:
    lines = [r"\begin{table}", r"\centering", r"\small", rf"\caption{{{escaped(caption)}}}"]
    return "\n".join([*lines, rf"\label{{tab:domcli-{name}}}", tabular, r"\end{table}"])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"
