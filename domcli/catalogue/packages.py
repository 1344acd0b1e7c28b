"""Entries of the catalogue that installed packages add: entry points of the group `domcli`, named KIND.NAME.

The names are known from what is installed; a package itself is imported by the trainer alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domcli.catalogue.entry import Kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "domcli"


def packaged(kind: Kind[Any]) -> dict[str, EntryPoint]:
    """Return what installed packages add of a kind, by name; of several with one name the first that is found."""
    from importlib.metadata import entry_points  # takes its time, and only a name that is not known asks for it

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        slug, _, name = point.name.partition(".")
        if slug == kind.slug and name:
            found.setdefault(name, point)
    return found
