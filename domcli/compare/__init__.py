"""Many runs side by side: groups of seeds, what differs, whether it is real, and how it stands to the paper.

comparison = compare(select(runs_dir, ["pgd-dom-re", "pgd-baseline"]))
export(comparison, "markdown")
"""

from __future__ import annotations

from typing import Literal, get_args

from domcli.compare.comparison import Comparison, compare
from domcli.compare.selection import select

__all__ = ["FORMATS", "Comparison", "Format", "compare", "export", "select"]

Format = Literal["markdown", "latex", "csv", "json", "html"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(comparison: Comparison, form: Format) -> str:
    """Return the comparison as a document."""
    if form == "markdown":
        from domcli.compare.markdown import markdown

        return markdown(comparison)
    if form == "latex":
        from domcli.compare.latex import latex

        return latex(comparison)
    if form == "html":
        from domcli.compare.html import html

        return html(comparison)
    from domcli.compare import data

    return data.as_csv(comparison) if form == "csv" else data.as_json(comparison)
