"""The whole comparison: groups, what differs, whether it is real, and everything a reader must be told beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property

from domcli import __version__
from domcli.compare.attacks import Attack, pgd_title
from domcli.compare.errors import ComparisonError
from domcli.compare.groups import Group, LeftOut, attacks, differing_keys, make_groups, measured
from domcli.compare.notes import notes
from domcli.compare.paper import Match, against_paper
from domcli.compare.records import Metric, Record, read_record
from domcli.compare.significance import Contrast, contrasts
from domcli.printable import printable_line
from domcli.rundir import RunDirectory


@dataclass(frozen=True)
class Comparison:
    """Everything that is shown and exported. Accuracies are in percent, as test error with `error`."""

    groups: tuple[Group, ...]
    unread: tuple[LeftOut, ...]
    """Runs that belong to no group because their settings cannot be read."""
    at_epoch: int | None
    error: bool
    differing: tuple[str, ...]
    """The settings, by section.key, in which the groups are not all the same."""
    contrasts: tuple[Contrast, ...]
    paper: tuple[Match, ...] | None
    notes: tuple[str, ...]
    made: datetime

    @property
    def metrics(self) -> list[Metric]:
        """Return the accuracies that any group has."""
        return measured(self.groups)

    @property
    def left_out(self) -> list[tuple[str | None, LeftOut]]:
        """Return the runs that do not count, each with the name of its group."""
        in_groups = [(group.name, one) for group in self.groups for one in group.left_out]
        return [*in_groups, *((None, one) for one in self.unread)]

    def title(self, metric: Metric) -> str:
        """Return what an accuracy is called: PGD with its steps where all groups took as many."""
        if metric != "pgd":
            name = self._attacks[metric].title if metric in self._attacks else metric
            return f"{name} (evaluate)" if name == self.title("pgd") else name
        keys = ("evaluation.steps", "evaluation.restarts")
        found = [tuple(map(group.settings.get, keys)) for group in self.groups if group.measures("pgd")]
        return pgd_title(*found[0]) if found and found.count(found[0]) == len(found) else "PGD"

    @cached_property
    def _attacks(self) -> dict[Metric, Attack]:
        return attacks(self.groups)

    @property
    def origin(self) -> str:
        """Return what made this, when, and from how many runs."""
        count = sum(group.n for group in self.groups)
        date = self.made.isoformat(timespec="seconds")
        return f"Made by domcli {__version__} on {date} from {count} run{'' if count == 1 else 's'}."

    @property
    def source(self) -> str:
        """Return where the numbers come from, in one line for each run that counts: for the metadata of figures."""
        runs = [(group, record) for group in self.groups for record in group.records]
        return "\n".join([self.origin, *(_source(group, record) for group, record in runs)])


def _source(group: Group, record: Record) -> str:
    commit = record.environment.get("git_commit")
    epochs = record.last.epoch if record.last else 0
    return printable_line(
        f"{group.name}: run {record.run.directory.path}, seed {record.seed}, {epochs} epochs"
        f"{f', commit {commit}' if commit else ''}"
    )


def compare(
    directories: Sequence[RunDirectory], *, at_epoch: int | None = None, error: bool = False, paper: bool = False
) -> Comparison:
    """Return the comparison of these runs, after `at_epoch` epochs where that is given.

    Raises ComparisonError if nothing can be compared.
    """
    if paper and at_epoch is not None:
        raise ComparisonError("--paper compares with the end of training: leave out --at-epoch")
    records = [read_record(directory, at_epoch) for directory in directories]
    groups = make_groups([record for record in records if record.settings])
    unread = tuple(LeftOut(record, str(record.shortfall)) for record in records if not record.settings)
    found = tuple(contrasts(groups, error))
    tested = any(contrast.difference.p is not None for contrast in found)
    return Comparison(
        groups=tuple(groups),
        unread=unread,
        at_epoch=at_epoch,
        error=error,
        differing=tuple(differing_keys([group.settings for group in groups])),
        contrasts=found,
        paper=tuple(against_paper(groups, error)) if paper else None,
        notes=tuple(map(printable_line, notes(groups, at_epoch, unread=len(unread), tested=tested))),
        made=datetime.now(timezone.utc),
    )
