"""What every entry of the catalogue has, and the kinds of entries by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from domcli.errors import SettingsError
from domcli.printable import quoted

Work = str | Callable[..., Any]
"""What does an entry's work: `module:name`, imported where it is done, or the function itself."""


@dataclass(frozen=True)
class Option:
    """A number of an entry's own, set in [options] as `NAME-OPTION` (such as `trades-beta`)."""

    name: str
    default: float
    about: str
    least: float | None = None
    most: float | None = None

    @property
    def meaning(self) -> str:
        """What it is and may be, in a sentence."""
        if self.least is not None and self.most is not None:
            return f"{self.about}, from {self.least:g} to {self.most:g}."
        if self.least is not None:
            return f"{self.about}, at least {self.least:g}."
        return f"{self.about}." if self.most is None else f"{self.about}, at most {self.most:g}."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that the settings choose by its name: what can be said of it without PyTorch, and where its work is."""

    name: str
    about: str
    """What it is, in a phrase for help texts."""
    work: Work | None = None
    """What does it, as its kind says; None where there is nothing to do."""
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for what no entry can be."""
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(f"an entry is named {self.name!r}; use lower-case letters, digits, . and -")
        if self.needs_work and self.work is None:
            raise ValueError(f"{self.name} has no work: give the function that does it")

    @property
    def is_own(self) -> bool:
        """Whether it is domcli's own, and not an extension's."""
        return self.work is None or (isinstance(self.work, str) and self.work.startswith("domcli."))

    @property
    def needs_work(self) -> bool:
        """Whether something must do its work."""
        return True

    def values(self, options: Mapping[str, float]) -> dict[str, float]:
        """Return the value of each option by its name, from [options] of the settings and the defaults."""
        return {one.name: options.get(f"{self.name}-{one.name}", one.default) for one in self.options}

    def made(self, options: Mapping[str, float]) -> Callable[..., Any]:
        """Return what does the work, its options given as keyword arguments of their names, with _ for each -."""
        values = {name.replace("-", "_"): value for name, value in self.values(options).items()}
        return partial(self.load(), **values) if values else self.load()

    def load(self) -> Callable[..., Any]:
        """Return what does the work, imported if need be."""
        if self.work is None:
            raise LookupError(f"{self.name} does nothing")
        if not isinstance(self.work, str):
            return self.work
        module, _, name = self.work.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found


NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
NO_OPTIONS: Mapping[str, float] = MappingProxyType({})
"""Everything has its default."""

E = TypeVar("E", bound=Entry)


class Kind(Generic[E]):
    """All entries of a kind by name, in the order in which they are listed."""

    def __init__(self, title: str, keys: tuple[str, ...], entry: type[E], *entries: E) -> None:
        """`title`: what one entry is called in a sentence; `keys`: the settings that name one; `entry`: its type."""
        self.title = title
        self.keys = keys
        self.entry = entry
        self._entries: dict[str, E] = {}
        for one in entries:
            self.add(one)

    def __iter__(self) -> Iterator[E]:
        return iter(tuple(self._entries.values()))

    def __getitem__(self, name: str) -> E:
        """Return the entry of a name. Raises SettingsError if there is none."""
        found = self._entries.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._entries, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self._entries)}"
            raise SettingsError(f"unknown {self.title} {quoted(name)}; {hint}")
        return found

    def get(self, name: object) -> E | None:
        """Return the entry of a name, None where it is not known here, as with one that an extension has added."""
        return self._entries.get(name) if isinstance(name, str) else None

    @property
    def slug(self) -> str:
        """Its title as one word."""
        return self.title.replace(" ", "-")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the entries, in their order."""
        return tuple(self._entries)

    def add(self, entry: E) -> None:
        """Add an entry. Raises SettingsError if its name is taken."""
        if entry.name in self._entries:
            raise SettingsError(
                f"the {self.title} {quoted(entry.name)} is there already; give the new one another name"
            )
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Take an entry out again."""
        del self._entries[name]
