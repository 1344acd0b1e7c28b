"""The keys of the charts, known before the charts are loaded."""

from __future__ import annotations

from textual.binding import Binding, BindingType

STEP = 10
"""Epochs of a long step of the cursor."""
LIST_KEYS = {"up", "down", "left", "right", "home", "end"}
"""What the other panels need themselves."""
KEYS: list[BindingType] = [
    Binding("x", "x_axis", "axis", tooltip="Epochs, steps or hours on the x axis"),
    Binding("w", "smoothing", "smooth", tooltip="Smooth the curves; the raw ones stay, faintly"),
    Binding("y", "log_y", "log", tooltip="Logarithmic y axes"),
    Binding("b", "bring_together", "seeds", tooltip="Seeds of a setting as mean and band"),
    Binding("f", "full_screen", "full", tooltip="This chart on the whole screen"),
    Binding("e", "export_chart('svg')", "export", tooltip="Export this chart as SVG"),
    Binding("E", "export_chart('png')", "export as PNG", show=False, tooltip="Export this chart as PNG"),
    Binding("plus,equals_sign", "zoom_in", "closer", show=False),
    Binding("minus", "zoom_out", "farther", show=False),
    Binding("shift+left,ctrl+left", "pan_left", "pan to the left", show=False),
    Binding("shift+right,ctrl+right", "pan_right", "pan to the right", show=False),
    Binding("0", "reset_view", "everything again", show=False),
    Binding("left", "cursor(-1)", "cursor to the epoch before", show=False),
    Binding("right", "cursor(1)", "cursor to the next epoch", show=False),
    Binding("less_than_sign,comma", f"cursor(-{STEP})", "cursor ten epochs back", show=False),
    Binding("greater_than_sign,full_stop", f"cursor({STEP})", "cursor ten epochs on", show=False),
    Binding("home", "cursor(-1000000)", "cursor to the first epoch", show=False),
    Binding("end", "cursor(1000000)", "cursor to the last epoch", show=False),
    Binding("up,left_square_bracket", "chart(-1)", "chart before", show=False),
    Binding("down,right_square_bracket", "chart(1)", "next chart", show=False),
]


def keys_everywhere() -> list[BindingType]:
    """Return the keys that work wherever the cursor is: those that no other panel needs."""
    found: list[BindingType] = []
    for binding in Binding.make_bindings(KEYS):
        if binding.key not in LIST_KEYS:
            action = f"charts({binding.action!r})"
            found.append(Binding(binding.key, action, binding.description, binding.show, tooltip=binding.tooltip))
    return found
