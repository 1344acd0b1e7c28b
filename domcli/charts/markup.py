"""SVG as text: elements, labels, numbers; valid XML whatever the texts are."""

from __future__ import annotations

import unicodedata
from html import escape

from domcli.printable import printable_line


def element(tag: str, *children: str, **attributes: str | float | None) -> str:
    """Return an XML element; attributes that are None are left out, and `_` in their names stands for `-`."""
    written = "".join(
        f' {name.replace("_", "-")}="{escape(clean(value)) if isinstance(value, str) else number(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>" if children else f"<{tag}{written}/>"


def label(x: float, y: float, text: str, colour: str, anchor: str | None = None, **attributes: str | float) -> str:
    """Return a text with its baseline at y; it begins at x, or has its middle or end there."""
    content = escape(clean(text), quote=False)
    return element("text", content, x=x, y=y, fill=colour, text_anchor=anchor, **attributes)


def clean(text: str) -> str:
    """Return the text in one line of what can be shown, with `?` for what no version of Unicode has yet."""
    shown = printable_line(" ".join(text.splitlines()).replace("\t", " "))
    return "".join("?" if unicodedata.category(character) == "Cn" else character for character in shown)


def number(value: float) -> str:
    """Return a coordinate to a hundredth of a pixel."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def text_width(text: str, size: float = 12) -> float:
    """Return about how wide a text is, in pixels: fonts differ, so rather too much."""
    return size * sum(1.0 if unicodedata.east_asian_width(character) in "WF" else 0.62 for character in text)


def fitted(text: str, width: float, size: float = 12) -> str:
    """Return the text, cut with an ellipsis if it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text, size) + size > width:
        text = text[:-1]
    return text + "…"
