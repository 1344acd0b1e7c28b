"""Text that scrolls. What has changed is drawn again, and never laid out: that would take in the whole screen."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.visual import Visual


class TextView(ScrollView, can_focus=True):
    """Shows a text of any length, in lines as long as there is room. Its scrollbar needs `overflow-y: scroll`.

    The scrollbar has its place at all times, and is blank while everything fits.
    """

    virtual_size = Reactive(Size(0, 0), layout=False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.content = Content("")
        self._strips: list[Strip] = []
        self._blank = Strip.blank(0)

    @property
    def at_end(self) -> bool:
        """Whether the last line is seen."""
        return self.scroll_offset.y >= self.max_scroll_y

    def show(self, content: Content) -> None:
        """Show a text."""
        if content != self.content or content.spans != self.content.spans:
            self.content = content
            self._draw()

    def render_line(self, y: int) -> Strip:
        """Return a line."""
        place = y + self.scroll_offset.y
        return self._strips[place] if place < len(self._strips) else self._blank

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return what was selected with the mouse."""
        return selection.extract(self.content.plain), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002
        """Show what is selected."""
        self._draw()

    def notify_style_update(self) -> None:
        """Take the colours of another theme."""
        super().notify_style_update()
        if self.is_mounted:
            self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        """Make the lines anew, and draw those that are seen and not as they were."""
        before, (width, height) = self._strips, self.size
        self._strips = Visual.to_strips(self, self.content, width, None, self.visual_style, pad=True)
        self._blank = Strip.blank(width, self.rich_style)
        self._fit(Size(width, max(len(self._strips), height)))
        top = self.scroll_offset.y
        rows = range(top, top + height)
        regions = [Region(0, y - top, width, 1) for y in rows if self._strips[y : y + 1] != before[y : y + 1]]
        if regions:
            self.refresh(*regions)

    def _fit(self, size: Size) -> None:
        if size != self.virtual_size:
            self.virtual_size = size
            self.vertical_scrollbar.window_virtual_size = size.height
            self.scroll_y = self.validate_scroll_y(self.scroll_y)
