"""The line at the bottom: the keys that work now, each to be clicked.

Textual's own footer is a widget for each key, mounted anew whenever one more or one less of them works.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class KeyShown(NamedTuple):
    """A key and what it does, from one column to another of a line that may be wider than the screen."""

    key: str
    display: str
    description: str
    tooltip: str
    start: int
    end: int


class KeyLine(Widget):
    """Names the keys that work; a click on one is as good as the key."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key", "key-line--description", "key-line--hover"}

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[KeyShown] = []
        self._first = 0
        self._hover: KeyShown | None = None

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width, plain = self.size.width, self.rich_style
        if y or not self._keys:
            return Strip.blank(width, plain)
        key_style = plain + self._component("key")
        description_style = plain + self._component("description")
        segments: list[Segment] = []
        before, shown, after = self._parts()
        if before:
            segments.append(Segment("…".ljust(shown[0].start - self._first if shown else width), plain))
        for one in shown:
            over = self._component("hover") if one is self._hover else Style()
            segments += [
                Segment(one.display, key_style + over),
                Segment(f" {one.description}", description_style + over),
                Segment(" ", plain),
            ]
        if after:
            segments.append(Segment("…", plain))
        return Strip(segments).crop_extend(0, width, plain)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        one = self._at(event.x)
        if one is not None:
            self.app.simulate_key(one.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._point_at(self._at(event.x))

    def on_leave(self) -> None:
        self._point_at(None)

    def on_resize(self) -> None:
        self._scroll(0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._scroll(4)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._scroll(-4)

    def _changed(self, screen: Screen[object]) -> None:
        keys: dict[str, KeyShown] = {}
        column = 0
        for _, binding, _, tooltip in screen.active_bindings.values():
            if binding.show and binding.action not in keys:
                display = self.app.get_key_display(binding)
                end = column + cell_len(f"{display} {binding.description}")
                keys[binding.action] = KeyShown(binding.key, display, binding.description, tooltip, column, end)
                column = end + 1
        if list(keys.values()) != self._keys:
            self._keys, self._hover = list(keys.values()), None
            self._scroll(0)
            self.refresh()

    def _parts(self) -> tuple[bool, list[KeyShown], bool]:
        """Return the keys that are seen whole, with room for a sign in place of those before and after them."""
        width = self.size.width
        before = self._first > 0
        after = bool(self._keys) and self._keys[-1].end > self._first + width
        low, high = self._first + 2 * before, self._first + width - 2 * after
        return before, [one for one in self._keys if one.start >= low and one.end <= high], after

    def _at(self, x: int) -> KeyShown | None:
        return next((one for one in self._parts()[1] if one.start <= x + self._first < one.end), None)

    def _point_at(self, one: KeyShown | None) -> None:
        if one is not self._hover:
            self._hover = one
            self.tooltip = one.tooltip if one is not None and one.tooltip else None
            self.refresh()

    def _scroll(self, by: int) -> None:
        """Show what does not fit."""
        width = self._keys[-1].end if self._keys else 0
        first = max(0, min(self._first + by, width - self.size.width))
        if first != self._first:
            self._first = first
            self.refresh()

    def _component(self, name: str) -> Style:
        return self.get_component_rich_style(f"key-line--{name}", partial=True)
