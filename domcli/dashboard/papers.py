"""The paper's numbers for the settings of the runs that are listed."""

from __future__ import annotations

from collections.abc import Iterable

from domcli.compare.groups import Group as ComparedGroup
from domcli.compare.paper import against_paper
from domcli.compare.records import criterion
from domcli.dashboard.grouping import Group


class Papers:
    """Looks up each setting once: by the key of its group, the paper's best accuracy as a fraction."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self.known: dict[str, float] = {}

    def find(self, groups: Iterable[Group]) -> None:
        """Look up the groups that are new. The first time takes about half a second: it validates the presets."""
        new = {group.key: group for group in groups if group.settings and group.key not in self._asked}
        self._asked |= set(new)
        if not new:
            return
        found = dict(self.known)
        matches = against_paper([ComparedGroup(key, group.settings, ()) for key, group in new.items()])
        for match in matches:
            metric = criterion(new[match.group].settings)
            summary = match.entry.results.get(("best", metric))
            if not match.deviations and summary is not None and summary.mean is not None:
                found[match.group] = summary.mean / 100
        # Snapshots that have gone out hold the old one.
        self.known = found
