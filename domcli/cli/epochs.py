"""The line of an epoch: aligned columns under a header, without those that a setting does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domcli.catalogue import ATTACKS, OPERATIONS
from domcli.cli import figures
from domcli.events import EpochEnd
from domcli.settings import Settings

BEST_MARK = "*"

Value = Callable[[EpochEnd], str]


@dataclass(frozen=True)
class Column:
    """One column; `group` stands above the titles of neighbours that share it."""

    group: str
    title: str
    width: int
    value: Value
    spare: int = 0
    """The order in which columns make room on a narrow terminal, 1 first; 0: never."""


class EpochTable:
    """Writes epochs as lines of one width; the columns that fit are chosen once for a width."""

    def __init__(self, settings: Settings, width: int | None = None) -> None:
        """`width` is that of the terminal, None for unlimited."""
        columns = _columns(settings)
        while width is not None and _total(columns) > width and any(column.spare for column in columns):
            columns.remove(min((column for column in columns if column.spare), key=lambda column: column.spare))
        self.columns: Sequence[Column] = columns

    def header(self) -> list[str]:
        """Return the two lines above the first epoch."""
        return [_group_line(self.columns), " ".join(column.title.rjust(column.width) for column in self.columns)]

    def legend(self) -> list[str]:
        """Return what explains the signs in the lines."""
        chosen = "PGD" if any(column.title.startswith("PGD-") for column in self.columns) else "natural"
        parts = [f"{BEST_MARK} best {chosen} accuracy so far", "high-confidence: patterns with a natural loss under T"]
        if any(column.title == "orig/transf" for column in self.columns):
            parts.append("orig: so at the end of the warm-up, transf: later")
        return ["; ".join(parts)]

    def line(self, epoch: EpochEnd) -> str:
        """Return the line of an epoch; the best so far has a mark behind the accuracy it is chosen by."""
        return " ".join(column.value(epoch).rjust(column.width) for column in self.columns).rstrip()


def _columns(settings: Settings) -> list[Column]:
    attacked = settings.evaluation.attack != "none"
    columns = [
        Column("", "epoch", max(5, len(str(settings.train.epochs))), lambda epoch: str(epoch.epoch)),
        Column("", "lr", 7, lambda epoch: figures.rate(epoch.lr), spare=1),
        Column("train natural", "loss", 5, lambda epoch: figures.loss(epoch.train.natural_loss)),
        Column("train natural", "acc %", 6, lambda epoch: figures.percent(epoch.train.natural_accuracy), spare=3),
    ]
    attack = ATTACKS.get(settings.attack.name)
    if attack is None or attack.perturbs:
        columns += [
            Column("train robust", "loss", 5, lambda epoch: figures.loss(epoch.train.robust_loss)),
            Column("train robust", "acc %", 6, lambda epoch: figures.percent(epoch.train.robust_accuracy), spare=5),
        ]
    columns.append(Column("test %", "natural", 7, lambda epoch: _test(epoch, "natural", not attacked)))
    if attacked:
        title = f"PGD-{settings.evaluation.steps}"
        columns.append(Column("test %", title, 7, lambda epoch: _test(epoch, "pgd", True)))
    if attacked and attack is not None and attack.one_step:
        columns.append(Column("test %", "1-step", 6, lambda epoch: _test(epoch, "one_step", False), spare=4))
    return columns + _pattern_columns(settings)


def _pattern_columns(settings: Settings) -> list[Column]:
    columns = [
        Column("high-confidence", "all", 5, lambda epoch: _patterns(epoch, "high_confidence")),
        Column("high-confidence", "orig/transf", 11, _origins, spare=6),
    ]
    operation = OPERATIONS.get(settings.dom.operate)
    if operation is not None and operation.weighs:
        columns.append(Column("", "removed", 7, lambda epoch: _patterns(epoch, "removed")))
    elif operation is None:
        columns.append(Column("", "acted on", 8, _acted_on))
    elif operation.augments:
        columns.append(Column("", "augmented", 9, lambda epoch: _patterns(epoch, "augmented")))
    columns.append(Column("", "s", 4, lambda epoch: figures.seconds(epoch.train_seconds + epoch.test_seconds), spare=2))
    return columns


def _acted_on(epoch: EpochEnd) -> str:
    """Return of how many patterns an operation that is not known here has changed images or weights."""
    found = epoch.memorization
    return figures.MISSING if found is None else str(found.removed + found.augmented)


def _test(epoch: EpochEnd, what: str, headline: bool) -> str:
    """Return a test accuracy, with room for the mark behind it in the column that `best` is chosen by."""
    text = figures.percent(getattr(epoch.test, f"{what}_accuracy", None))
    if not headline:
        return text
    return text + (BEST_MARK if epoch.best else " ")


def _patterns(epoch: EpochEnd, what: str) -> str:
    return str(getattr(epoch.memorization, what, figures.MISSING))


def _origins(epoch: EpochEnd) -> str:
    found = epoch.memorization
    if found is None or found.original is None or found.transformed is None:
        return figures.MISSING
    return f"{found.original}/{found.transformed}"


def _total(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


def _group_line(columns: Sequence[Column]) -> str:
    """Return each group's name, right-aligned over its columns; its last word alone where they are too narrow."""
    line, position = "", -1
    groups: list[tuple[str, int]] = []
    for column in columns:
        position += column.width + 1
        if groups and column.group == groups[-1][0]:
            groups.pop()
        groups.append((column.group, position))
    for group, end in groups:
        fitting = [name for name in (group, group.rpartition(" ")[2]) if end - len(name) >= len(line) + bool(line)]
        if group and fitting:
            line = line.ljust(end - len(fitting[0])) + fitting[0]
    return line
