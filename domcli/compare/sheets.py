"""The comparison as tables of text, the same for terminals, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from domcli import amounts
from domcli.compare.comparison import Comparison
from domcli.compare.groups import Group, shown_value
from domcli.compare.paper import Match
from domcli.compare.records import POINTS, Metric, Record, criterion
from domcli.compare.significance import Contrast
from domcli.compare.statistics import MOST_SEEDS, Summary
from domcli.printable import printable_line

MISSING = "-"
WIDE = 4
"""With more groups than this the table of settings has a row, not a column, for each."""

COMMIT_LETTERS = 10


@dataclass(frozen=True)
class Sheet:
    """A table: `text` says how many of its columns, from the left, are words; the others are numbers.

    Whatever it is made from, each of its cells can be shown, and is one line.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", printable_line(self.title))
        object.__setattr__(self, "columns", tuple(map(printable_line, self.columns)))
        object.__setattr__(self, "rows", tuple(tuple(map(printable_line, row)) for row in self.rows))


def sheets(comparison: Comparison) -> list[Sheet]:
    """Return all tables that have something to say."""
    found = [
        *(accuracy_sheet(comparison, metric) for metric in comparison.metrics),
        training_sheet(comparison),
        settings_sheet(comparison),
        contrast_sheet(comparison),
        *paper_sheets(comparison),
        left_out_sheet(comparison),
        runs_sheet(comparison),
    ]
    return [sheet for sheet in found if sheet.rows]


def accuracy_sheet(comparison: Comparison, metric: Metric) -> Sheet:
    """Return one accuracy at best and last, and the difference, a row for each group."""
    rows = tuple((group.name, str(group.n), *accuracy_cells(comparison, group, metric)) for group in comparison.groups)
    return Sheet(accuracy_title(comparison, metric), ("group", "n", *POINTS), rows)


def accuracy_title(comparison: Comparison, metric: Metric) -> str:
    """Return `PGD-20 test accuracy, %`, with the epoch where one was asked for."""
    name, what = comparison.title(metric), "error" if comparison.error else "accuracy"
    at = "" if comparison.at_epoch is None else f", after {comparison.at_epoch} epochs"
    return f"{name[:1].upper()}{name[1:]} test {what}, %{at}"


def accuracy_cells(comparison: Comparison, group: Group, metric: Metric) -> list[str]:
    """Return mean ± standard deviation at best, at last, and of the difference."""
    return [shown(group.summary(metric, point, comparison.error), group.n) for point in POINTS]


def training_sheet(comparison: Comparison) -> Sheet:
    """Return what else there is to know at the end of training, a row for each group."""
    rows = tuple((group.name, str(group.n), *_training_cells(group)) for group in comparison.groups)
    columns = ("group", "n", "epoch of best", "high-confidence", "original", "transformed", "training time")
    title = "Best epoch, memorized patterns at the end, training time (with evaluation)"
    return Sheet(title, columns, rows)


def settings_sheet(comparison: Comparison) -> Sheet:
    """Return exactly the settings in which the groups differ."""
    groups, keys = comparison.groups, comparison.differing
    cells = {(group.name, key): shown_value(group.settings.get(key)) for group in groups for key in keys}
    names = [group.name for group in groups]
    title = "Settings that differ"
    if len(groups) <= WIDE:
        rows = tuple((key, *(cells[name, key] for name in names)) for key in keys)
        return Sheet(title, ("setting", *names), rows, len(groups) + 1)
    rows = tuple((name, *(cells[name, key] for key in keys)) for name in names) if keys else ()
    return Sheet(title, ("group", *keys), rows, len(keys) + 1)


def contrast_sheet(comparison: Comparison) -> Sheet:
    """Return the difference of every group from the first, with interval and p value."""
    found = comparison.contrasts
    groups = {contrast.group for contrast in found}
    columns = ("accuracy", "test", "difference", "95 % interval", "p", "more seeds")
    rows = tuple(_contrast_row(comparison, contrast) for contrast in found)
    baseline = found[0].baseline if found else MISSING
    tests = sum(contrast.difference.p is not None for contrast in found)
    correction = f" (p not corrected for {tests} tests)" if tests > 1 else ""
    if len(groups) == 1:
        return Sheet(f"{found[0].group} minus {baseline}, in points{correction}", columns, rows, 2)
    rows = tuple((contrast.group, *row) for contrast, row in zip(found, rows, strict=True))
    return Sheet(f"Difference from {baseline}, in points{correction}", ("group", *columns), rows, 3)


def paper_sheets(comparison: Comparison) -> Iterator[Sheet]:
    """Yield the groups beside the paper's numbers, and how those that are not the paper's settings differ."""
    matches = comparison.paper or ()
    what = "error" if comparison.error else "accuracy"
    columns = ("group", "paper", "verdict", what, "n", "own", "published", "gap", "95 % interval")
    rows = tuple(row for match in matches for row in _paper_rows(comparison, match))
    yield Sheet(f"Against the paper, test {what} in % (published over 3 seeds)", columns, rows, 4)
    deviations = tuple(
        (match.group, match.entry.title, one.key, one.own, one.paper) for match in matches for one in match.deviations
    )
    nearest = ("group", "nearest in the paper", "setting", "group's", "paper's")
    yield Sheet("Not the paper's settings", nearest, deviations, 5)


def left_out_sheet(comparison: Comparison) -> Sheet:
    """Return the runs that do not count, and why."""
    rows = tuple((one.record.name, group or MISSING, one.reason) for group, one in comparison.left_out)
    return Sheet("Runs that do not count", ("run", "group", "reason"), rows, 3)


def runs_sheet(comparison: Comparison) -> Sheet:
    """Return where the numbers come from: every run that counts. What all of them share stands in the title."""
    runs = [(group, record) for group in comparison.groups for record in group.records]
    words = {name: [of(record) for _, record in runs] for name, of in SOURCES.items()}
    shared = [f"{name} {of[0]}" for name, of in words.items() if len(set(of)) == 1 and of[0] != MISSING]
    own = {name: of for name, of in words.items() if len(set(of)) > 1}
    rows = tuple(
        (record.name, group.name, *(of[place] for of in own.values()), *_run_cells(comparison, group, record))
        for place, (group, record) in enumerate(runs)
    )
    title = f"Runs ({', '.join(shared)})" if shared else "Runs"
    columns = ("run", "group", *own, "seed", "epochs", "best epoch", "best", "last")
    return Sheet(title, columns, rows, 2 + len(own))


def shown(summary: Summary, expected: int, decimals: int = 2) -> str:
    """Return `52.52 ± 1.29`, without a deviation for one value, with n where it is not the expected one."""
    if summary.mean is None:
        return MISSING
    text = f"{summary.mean:,.{decimals}f}"
    if summary.std is not None:
        text += f" ± {summary.std:,.{decimals}f}"
    return text if summary.n == expected else f"{text} (n={summary.n})"


def signed(value: float) -> str:
    """Return a difference in points with its sign."""
    return f"{value:+.2f}"


def interval(limits: tuple[float, float] | None) -> str:
    """Return the limits of an interval with their signs."""
    return MISSING if limits is None else f"[{limits[0]:+.2f}, {limits[1]:+.2f}]"


def probability(p: float | None) -> str:
    """Return a p value with three decimals."""
    if p is None:
        return MISSING
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def duration(seconds: float) -> str:
    """Return a time as H:MM:SS."""
    found = amounts.split(seconds)
    return f"{found.all_hours}:{found.minutes:02}:{found.seconds:02}" if found else amounts.UNKNOWN


def patterns(record: Record, kind: str) -> float | None:
    """Return how many patterns are high_confidence, original or transformed after the last epoch."""
    found: float | None = getattr(record.last and record.last.memorization, kind, None)
    return found


def best_epoch(record: Record) -> float | None:
    """Return the number of the best epoch."""
    return None if record.best is None else record.best.epoch


def commit(record: Record) -> str:
    """Return the git commit of the folder that the run was launched in, shortened, with its mark for changed files."""
    full = record.environment.get("git_commit")
    if not isinstance(full, str):
        return MISSING
    name, dash, mark = full.partition("-")
    return name[:COMMIT_LETTERS] + dash + mark


def _training_cells(group: Group) -> list[str]:
    counts = [
        shown(group.of_records(lambda record, kind=kind: patterns(record, kind)), group.n, 0)  # type: ignore[misc]
        for kind in ("high_confidence", "original", "transformed")
    ]
    time = group.of_records(lambda record: record.seconds)
    text = MISSING if time.mean is None else duration(time.mean)
    if time.std is not None:
        text += f" ± {duration(time.std)}"
    best = group.of_records(best_epoch)
    return [shown(best, group.n, 0 if best.n == 1 else 1), *counts, text]


def _contrast_row(comparison: Comparison, contrast: Contrast) -> tuple[str, ...]:
    found = contrast.difference
    own, other = found.n
    n = f"n={own}" if own == other else f"n={own}, {other}"
    more = MISSING if found.more_seeds is None else f"{found.more_seeds:,}"
    if found.more_seeds is None and found.p is not None:
        more = f"> {MOST_SEEDS:,}"
    return (
        f"{comparison.title(contrast.metric)} {contrast.point}",
        f"{found.method}, {n}" if found.p is not None else ("no spread" if min(found.n) > 1 else n),
        signed(found.value),
        interval(found.interval),
        probability(found.p),
        more,
    )


def _paper_rows(comparison: Comparison, match: Match) -> Iterator[tuple[str, ...]]:
    for row in match.rows:
        yield (
            match.group,
            match.entry.title,
            row.verdict,
            f"{comparison.title(row.metric)} {row.point}",
            str(row.own.n),
            shown(row.own, row.own.n),
            shown(row.paper, row.paper.n),
            signed(row.gap),
            interval(row.interval),
        )


def _run_cells(comparison: Comparison, group: Group, record: Record) -> tuple[str, ...]:
    values = [group.values(criterion(group.settings), point, comparison.error).get(record.seed) for point in POINTS[:2]]
    best = best_epoch(record)
    return (
        str(record.seed),
        str(record.last.epoch if record.last else MISSING),
        MISSING if best is None else f"{best:.0f}",
        *(MISSING if value is None else f"{value:.2f}" for value in values),
    )


SOURCES: dict[str, Callable[[Record], str]] = {
    "domcli": lambda record: str(record.environment.get("domcli") or MISSING),
    "commit": commit,
    "folder": lambda record: str(record.run.directory.path.parent),
}
"""Where a run comes from: the version that made it, the commit it was launched at, the folder it lies in."""
