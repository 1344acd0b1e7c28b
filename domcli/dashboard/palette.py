"""The colours of runs and charts, for dark and light terminals, for those of 16 colours, and for none at all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rich.color import Color, blend_rgb
from rich.style import Style as RichStyle
from textual.app import App

from domcli.charts import Key, Style, Theme, themes

RANGES = 6
"""Colours there are for loss ranges."""
FAINT = 0.45
"""How much of a colour is left in what is drawn faintly."""


@dataclass(frozen=True)
class Palette:
    """What colour keys stand for. Colours are written as Rich and Textual's `Color.from_rich_color` understand them."""

    theme: Theme
    """The keys' colours; the same theme draws charts that are exported."""
    cursor: str
    """Background of the cursor's column; empty: none."""
    shades: bool = True
    """Whether colours can be mixed, and the parts of a stack told apart by them alone."""
    coloured: bool = True
    _styles: dict[tuple[Style, str], RichStyle] = field(default_factory=dict, repr=False, compare=False)

    def run_colour(self, index: int) -> str:
        """Return the colour of a run, the same in the list and in every chart; they repeat after the last."""
        return self.theme.colour(index)

    def style(self, style: Style, background: str = "") -> RichStyle:
        """Return the terminal's style for that of a chart, drawn on `background` (#rrggbb; empty: the terminal's)."""
        key = (style, background)
        if key not in self._styles:
            self._styles[key] = self._made(style, background)
        return self._styles[key]

    def _made(self, style: Style, background: str) -> RichStyle:
        if not self.coloured:
            quiet = style.faint or style.colour in ("axis", "mark", "empty", "border")
            return RichStyle(bold=style.bold or style.cursor or None, dim=quiet or None)
        colour = None if style.colour is None else self.theme.colour(style.colour)
        back = None if style.back is None else self.theme.colour(style.back)
        if style.cursor and back is None:
            back = self.cursor or None
        if style.faint and colour is not None and self.shades:
            colour = mixed(colour, background or self.theme.background, FAINT)
        dim = style.faint and not self.shades
        return RichStyle(color=colour, bgcolor=back or background or None, bold=style.bold or None, dim=dim or None)


def mixed(colour: str, background: str, share: float) -> str:
    """Return a colour of which `share` is left, the rest being background; both are #rrggbb."""
    front, back = (Color.parse(one).get_truecolor() for one in (colour, background))
    return Color.from_triplet(blend_rgb(back, front, share)).name


def run_colour(index: int, palette: Palette | None = None) -> str:
    """Return the colour of a run, of the dark palette unless another is given."""
    return (palette or DARK).run_colour(index)


def palette_for(app: App[object]) -> Palette:
    """Return the palette that fits the app's theme and what its terminal can show."""
    if app.no_color:
        return NONE
    dark = app.current_theme.dark
    if app.native_ansi_color or app.console.color_system == "standard":
        return ANSI_DARK if dark else ANSI_LIGHT
    return DARK if dark else LIGHT


def range_key(index: int, count: int) -> Key:
    """Return the colour key of one of `count` loss ranges, from the lowest losses up."""
    return f"range{index if count <= RANGES else index * RANGES // count}"


def _with_ranges(theme: Theme, ranges: tuple[str, ...], **roles: str) -> Theme:
    named = {f"range{index}": colour for index, colour in enumerate(ranges)}
    return replace(theme, roles={**theme.roles, **named, **roles})


def _ansi_theme(*palette: str, ranges: tuple[str, ...]) -> Theme:
    quiet = dict.fromkeys(("axis", "mark", "border", "empty"), "bright_black")
    theme = Theme("default", "default", "bright_black", palette, {**quiet, "finding": "red"})
    return _with_ranges(theme, ranges, target=palette[3], selected=palette[0])


LEGIBLE = {"#56b4e9": "#3d8fd1"}
"""Okabe and Ito's sky blue is too pale for thin lines on white."""
DARK = Palette(
    _with_ranges(
        themes.DARK,
        ("#2f7fc1", "#4fa3c7", "#86c5c0", "#c8b27a", "#8d7a63", "#4d4a4a"),
        axis="#6e7681",
        mark="#8b949e",
        empty="#6e7681",
        cursor="#e6edf3",
        border="#30363d",
        selected="#56b4e9",
        title="#e6edf3",
        text="#9aa4b0",
    ),
    cursor="#2d333b",
)
LIGHT = Palette(
    _with_ranges(
        replace(themes.LIGHT, palette=tuple(LEGIBLE.get(colour, colour) for colour in themes.LIGHT.palette)),
        ("#1f6fb2", "#4b9ac6", "#93c9d1", "#e3cf97", "#cbb59b", "#d5d5d5"),
        axis="#6e7781",
        empty="#6e7781",
        cursor="#24292f",
        border="#d0d7de",
        selected="#0072b2",
        title="#24292f",
        text="#57606a",
    ),
    cursor="#dde3ea",
)
ANSI_DARK = Palette(
    _ansi_theme(
        *("bright_cyan", "bright_yellow", "bright_green", "bright_magenta", "bright_blue", "bright_red", "white"),
        ranges=("blue", "bright_blue", "cyan", "yellow", "magenta", "bright_black"),
    ),
    cursor="",
    shades=False,
)
ANSI_LIGHT = Palette(
    _ansi_theme(
        *("blue", "red", "green", "magenta", "cyan", "yellow", "bright_black"),
        ranges=("blue", "bright_blue", "cyan", "yellow", "magenta", "bright_black"),
    ),
    cursor="",
    shades=False,
)
NONE = Palette(ANSI_DARK.theme, cursor="", shades=False, coloured=False)
