"""Colours for pictures that are files: a palette that the colour-blind can tell apart, and the roles."""

from __future__ import annotations

from dataclasses import dataclass, field

from domcli.charts.series import Key


@dataclass(frozen=True)
class Theme:
    """Real colours for colour keys, each as #rrggbb."""

    background: str
    text: str
    grid: str
    palette: tuple[str, ...]
    """What numbers stand for; it begins again after the last."""
    roles: dict[str, str] = field(default_factory=dict)
    """What names stand for; a name that is not here has the colour of the text."""

    def colour(self, key: Key) -> str:
        """Return the colour of a key."""
        return self.palette[key % len(self.palette)] if isinstance(key, int) else self.roles.get(key, self.text)


LIGHT = Theme(
    background="#ffffff",
    text="#24292f",
    grid="#e4e7eb",
    palette=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#6b7280"),
    roles={"axis": "#57606a", "mark": "#6e7781", "target": "#8250df", "finding": "#cf222e"},
)
"""Okabe and Ito's palette with its yellow darkened, two colours more."""
DARK = Theme(
    background="#0d1117",
    text="#e6edf3",
    grid="#21262d",
    palette=("#56b4e9", "#e69f00", "#2dd4a7", "#f0a3cf", "#f0e442", "#5b8def", "#b392f0", "#9aa4b0"),
    roles={"axis": "#8b949e", "mark": "#8b949e", "target": "#b392f0", "finding": "#ff7b72"},
)
