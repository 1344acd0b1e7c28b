"""The themes of the dashboard: a dark and a light one, and one that leaves all colours to the terminal."""

from __future__ import annotations

import os

from textual.theme import Theme

DARK = Theme(
    name="domcli-dark",
    dark=True,
    primary="#56b4e9",
    secondary="#b392f0",
    accent="#e69f00",
    warning="#e3b341",
    error="#ff7b72",
    success="#56d364",
    foreground="#e6edf3",
    background="#0d1117",
    surface="#161b22",
    panel="#21262d",
    variables={
        "border": "#30363d",
        "border-blurred": "#30363d",
        "block-cursor-text-style": "none",
        "footer-background": "#161b22",
        "footer-key-foreground": "#56b4e9",
        "footer-description-foreground": "#8b949e",
        "scrollbar": "#30363d",
        "scrollbar-hover": "#484f58",
        "scrollbar-background": "#0d1117",
        "scrollbar-background-hover": "#0d1117",
        "quiet": "#8b949e",
        "track": "#30363d",
        "row-cursor": "#1f2a3a",
        "row-cursor-blurred": "#1a2029",
        "row-hover": "#161b22",
    },
)
LIGHT = Theme(
    name="domcli-light",
    dark=False,
    primary="#0072b2",
    secondary="#8250df",
    accent="#d55e00",
    warning="#9a6700",
    error="#cf222e",
    success="#1a7f37",
    foreground="#24292f",
    background="#ffffff",
    surface="#f6f8fa",
    panel="#eaeef2",
    variables={
        "border": "#d0d7de",
        "border-blurred": "#d0d7de",
        "block-cursor-text-style": "none",
        "footer-background": "#f6f8fa",
        "footer-key-foreground": "#0072b2",
        "footer-description-foreground": "#57606a",
        "scrollbar": "#d0d7de",
        "scrollbar-hover": "#afb8c1",
        "scrollbar-background": "#ffffff",
        "scrollbar-background-hover": "#ffffff",
        "quiet": "#57606a",
        "track": "#d0d7de",
        "row-cursor": "#ddeefb",
        "row-cursor-blurred": "#eef3f8",
        "row-hover": "#f6f8fa",
    },
)
ANSI = Theme(
    name="domcli-ansi",
    dark=True,
    ansi=True,
    primary="ansi_blue",
    secondary="ansi_magenta",
    accent="ansi_yellow",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-text-style": "reverse",
        "input-selection-background": "ansi_cyan",
        "input-selection-foreground": "ansi_black",
        "screen-selection-background": "ansi_cyan",
        "screen-selection-foreground": "ansi_black",
        "border": "ansi_bright_black",
        "border-blurred": "ansi_bright_black",
        "footer-background": "ansi_default",
        "footer-key-foreground": "ansi_blue",
        "footer-description-foreground": "ansi_default",
        "quiet": "ansi_bright_black",
        "track": "ansi_bright_black",
        "row-cursor": "ansi_default",
        "row-cursor-blurred": "ansi_default",
        "row-hover": "ansi_default",
    },
)
THEMES = (DARK, LIGHT, ANSI)


def usual(environment: dict[str, str] | None = None) -> str:
    """Return the theme to begin with: the terminal's own colours where it has few or none, else dark or light.

    COLORFGBG, which some terminals set to the numbers of their text and background colours, tells light from dark.
    """
    known = os.environ if environment is None else environment
    term = known.get("TERM", "")
    many = "256color" in term or known.get("COLORTERM") in ("truecolor", "24bit") or "kitty" in term
    if "NO_COLOR" in known or not many:
        return ANSI.name
    background = known.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name
