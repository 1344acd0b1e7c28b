"""Entries that are in the catalogue for the time of a test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from domcli.catalogue import Entry, Kind


@contextlib.contextmanager
def added(kind: Kind[Any], *entries: Entry) -> Iterator[None]:
    """Have entries in a kind."""
    for entry in entries:
        kind.add(entry)
    try:
        yield
    finally:
        for entry in entries:
            kind.remove(entry.name)


@contextlib.contextmanager
def changed(kind: Kind[Any], name: str, **fields: Any) -> Iterator[Any]:
    """Have an entry of a kind changed, in its place."""
    entries = kind._entries
    before = entries[name]
    entries[name] = after = replace(before, **fields)
    try:
        yield after
    finally:
        entries[name] = before
