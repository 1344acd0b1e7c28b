"""What the detail panel says of a run, as text with the names of theme colours. Pure: values in, text out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from textual.content import Content

from domcli import amounts
from domcli.compare.groups import differing_keys, shown_value
from domcli.compare.records import flatten
from domcli.dashboard import words
from domcli.dashboard.list_columns import bar
from domcli.dashboard.model import Detail, Listed
from domcli.events import EpochEnd
from domcli.overfitting import Finding
from domcli.plural import counted
from domcli.runs import Run

STATE_STYLES = {
    "running": "$primary",
    "starting": "$primary",
    "queued": "$foreground",
    "failed": "$error",
    "lost": "$error",
    "stopped": "$warning",
    "finished": "$success",
}
SEVERITY_STYLES = {"critical": "$error", "warning": "$warning", "notice": "$quiet"}
ENVIRONMENT = (
    ("created", "created"),
    ("preset", "preset"),
    ("command_line", "command"),
    ("hostname", "host"),
    ("python", "python"),
    ("torch", "torch"),
    ("domcli", "domcli"),
    ("git_commit", "commit"),
)
LABEL, EPOCH = 10, 6
NARROWEST_NUMBER = 7
FEWEST_COLUMNS, USUAL_COLUMNS = 20, 36


def state(one: Listed, width: int) -> Content:
    """Return what a run is doing: the few lines that change all the time while it trains."""
    return Content("\n").join(_state(one, max(FEWEST_COLUMNS, width)))


def overview(one: Listed, run: Run, detail: Detail | None, width: int, paper: float | None = None) -> Content:
    """Return findings, numbers, patterns, files and environment; `run` may hold more epochs than the listed.

    `paper` is the paper's best accuracy for these settings, of the kind that the run's best is chosen on.
    """
    width = max(FEWEST_COLUMNS, width)
    lines = [*_findings(one.findings, width), *_accuracies(run, paper, width), *_patterns(run, width)]
    if detail is not None:
        lines += [*_checkpoints(run, detail, width), *_environment(run, detail, width)]
    return Content("\n").join(lines)


def settings(run: Run, detail: Detail | None, marked: Sequence[tuple[Listed, str]], width: int) -> Content:
    """Return what differs between marked runs (each with its colour), what differs from the preset, all settings.

    What the preset has goes on a line of its own where the columns are too few.
    """
    lines = list(differences(marked)) if len(marked) > 1 else []
    changed = detail.changed if detail is not None else None
    if changed is not None:
        lines.append(_title(f"not as in {run.preset}"))
        if not changed:
            lines.append(Content.styled("nothing", "$quiet"))
        for quick in (False, True):
            found = [one for one in changed if one.quick == quick]
            lines += [Content.styled("set by --quick:", "$quiet")] if quick and found else []
            for one in found:
                here, preset = one.values
                whole = f"{one.key:<{LABEL}} {here}  {_instead_of(preset)}"
                gap = "  " if cell_len(whole) <= width else "\n  "
                lines += _pair(one.key, Content.assemble((here, "bold"), (f"{gap}{_instead_of(preset)}", "$quiet")))
        lines.append(Content(""))
    for section, table in run.settings.items():
        if isinstance(table, dict):
            lines.append(_title(section))
            keys = {one.key for one in changed or ()}
            for key, value in table.items():
                style = "bold $warning" if f"{section}.{key}" in keys else ""
                lines.append(Content.assemble((f"{key:<15}", "$quiet"), (shown_value(value), style)))
            lines.append(Content(""))
    if not run.settings:
        lines.append(Content.styled(run.problem or "The settings cannot be read.", "$error"))
    return Content("\n").join(lines)


def _instead_of(value: str) -> str:
    """Return what a setting is in the preset, after what it is here."""
    return "not set there" if value == shown_value(None) else f"not {value}"


def differences(marked: Sequence[tuple[Listed, str]]) -> Iterator[Content]:
    """Yield the settings in which the marked runs differ, with the value of each, under their names."""
    tables = [flatten(one.run.settings) for one, _ in marked]
    keys = differing_keys(tables)
    yield _title(f"differences of the {len(marked)} marked")
    for one, colour in marked:
        yield Content.assemble(("● ", colour), one.name)
    if not keys:
        yield Content.styled("nothing: the settings are the same", "$quiet")
    for key in keys:
        yield Content.styled(key, "$quiet")
        by_value: dict[str, list[str]] = {}
        for (_, colour), table in zip(marked, tables, strict=True):
            by_value.setdefault(shown_value(table.get(key)), []).append(colour)
        for value, colours in by_value.items():
            yield Content.assemble("  ", *(("●", colour) for colour in colours), (f" {value}", "bold"))
    yield Content("")


def _state(one: Listed, width: int) -> Iterator[Content]:
    run = one.run
    style = STATE_STYLES[run.status]
    yield Content.assemble((f"{words.SIGNS[run.status]} {run.status}", f"bold {style}"))
    for line in textwrap.wrap(words.sentence(one), width):
        yield Content(line)
    fraction = run.progress
    if run.status in ("running", "stopped", "lost", "failed") and fraction is not None:
        done, left = bar(fraction, max(4, width - 6))
        share = f" {amounts.share(fraction, 1.0):>5}"
        yield Content.assemble((done, style), (left, "$track"), (share, "bold"))
    if run.status == "running":
        yield Content.assemble(*_pace(run))
    problem = words.what_happened(run)
    if problem is not None and problem not in words.sentence(one):
        for line in textwrap.wrap(problem, width):
            yield Content.styled(line, style if run.problem is None else "$error")
    yield Content("")


def _pace(run: Run) -> Iterator[tuple[str, str]]:
    remaining = words.remaining(run)
    if remaining is not None:
        yield "ETA ", "$quiet"
        yield words.duration(remaining), "bold"
    progress = run.state.progress
    if progress is not None and progress.images_per_second:
        yield f"   {progress.images_per_second:,.0f} img/s", "$quiet"
    if run.device:
        yield f"   {run.device}", "$quiet"


def _accuracies(run: Run, paper: float | None, width: int) -> Iterator[Content]:
    best, last = run.state.best, run.state.last
    if last is None:
        return
    columns = [("natural", "natural_accuracy"), ("PGD", "pgd_accuracy"), ("1-step", "one_step_accuracy")]
    shown = [(name, field) for name, field in columns if getattr(last.test, field) is not None]
    room = (width - LABEL - EPOCH) // len(shown)
    epochs = room >= NARROWEST_NUMBER
    cell = min(8, room if epochs else (width - LABEL) // len(shown))
    title = " " * LABEL + "".join(f"{name:>{cell}}" for name, _ in shown)
    yield Content.styled(title + (f"{'epoch':>{EPOCH}}" if epochs else ""), "$quiet")
    for label, epoch in (("best", best), ("last", last)):
        if epoch is not None and epoch.test is not None:
            values = "".join(f"{words.percent(getattr(epoch.test, field), 2):>{cell}}" for _, field in shown)
            number = f"{epoch.epoch:>{EPOCH}}" if epochs else ""
            yield Content.assemble((f"{label:<{LABEL}}", "$quiet"), (values, "bold"), (number, "$quiet"))
    if best is not None and best.test is not None and last.test is not None:
        gaps = "".join(f"{_gap(best, last, field):>{cell}}" for _, field in shown)
        yield Content.assemble((f"{'best−last':<{LABEL}}", "$quiet"), gaps)
    if paper is not None:
        place = 1 if words.attack_name(run) != "natural" and len(shown) > 1 else 0
        cells = " " * (cell * place) + f"{words.percent(paper, 2):>{cell}}"
        yield Content.assemble((f"{'paper':<{LABEL}}", "$quiet"), cells)
    yield Content("")


def _gap(best: EpochEnd, last: EpochEnd, field: str) -> str:
    high, low = getattr(best.test, field), getattr(last.test, field)
    return words.MISSING if high is None or low is None else f"{100 * (high - low):+.2f}"


def _patterns(run: Run, width: int) -> Iterator[Content]:
    records = [epoch.memorization for epoch in run.state.epochs if epoch.memorization is not None]
    if not records:
        return
    found, size = records[-1], run.state.started.train_size if run.state.started else None
    share = f"  {amounts.share(found.high_confidence, size)}" if size else ""
    share += f" of {size:,}" if size and width >= USUAL_COLUMNS else ""
    yield _title("memorized patterns")
    yield from _pair("high conf.", Content.assemble((words.count(found.high_confidence), "bold"), (share, "$quiet")))
    for label, value in (("original", found.original), ("transform.", found.transformed)):
        if value is not None:
            yield from _pair(label, Content(words.count(value)))
    for label, value in (("removed", found.removed), ("augmented", found.augmented)):
        if value:
            yield from _pair(label, Content.assemble(words.count(value), ("  this epoch", "$quiet")))
    yield Content("")


def _findings(findings: Sequence[Finding], width: int) -> Iterator[Content]:
    if not findings:
        return
    yield _title("overfitting watch")
    for finding in findings:
        style = SEVERITY_STYLES[finding.severity]
        yield Content.assemble((f"▲ {finding.badge}", f"bold {style}"), (f"  epoch {finding.epoch}", "$quiet"))
        for line in textwrap.wrap(finding.reason, width - 2):
            yield Content(f"  {line}")
    yield Content("")


def _checkpoints(run: Run, detail: Detail, width: int) -> Iterator[Content]:
    if not detail.checkpoints:
        return
    yield _title("checkpoints")
    names = {name.partition(".")[0] for name, _ in detail.checkpoints}
    labels = [label for label in ("best", "last") if label in names]
    by_epoch = sum(name.startswith("epoch-") for name in names)
    text = ", ".join([*labels, f"{by_epoch} by epoch"] if by_epoch else labels)
    total = sum(size for _, size in detail.checkpoints)
    resumes = next((saved.epoch for saved in reversed(run.state.checkpoints) if saved.label == "last"), None)
    resumable = resumes is not None and run.status in ("stopped", "failed", "lost")
    after = f"; resumes after epoch {resumes}" if resumable else ""
    for line in textwrap.wrap(f"{text} ({words.size(total)}){after}", width):
        yield Content(line)
    yield Content("")


def _environment(run: Run, detail: Detail, width: int) -> Iterator[Content]:
    rows = [(label, _written(key, detail.environment)) for key, label in ENVIRONMENT]
    started = run.state.started
    if started is not None:
        # An imported log knows neither, and says so for both in the same words.
        rows.insert(3, ("device", ", ".join(dict.fromkeys((started.device_name, started.precision)))))
        rows.insert(4, ("network", counted(started.parameters, "parameter")))
    rows.append(("directory", str(run.directory.path)))
    yield _title("environment")
    for label, text in rows:
        if text:
            first, *more = textwrap.wrap(text, max(8, width - LABEL), break_on_hyphens=False) or [""]
            yield Content.assemble((f"{label:<{LABEL}}", "$quiet"), first)
            for line in more:
                yield Content(" " * LABEL + line)


def _written(key: str, environment: Mapping[str, object]) -> str:
    value = environment.get(key)
    if key == "created" and isinstance(value, int | float):
        return amounts.date(value)
    return "" if value is None else str(value)


def _pair(label: str, value: Content) -> Iterator[Content]:
    yield Content.assemble((f"{label:<{LABEL}} ", "$quiet"), value)


def _title(text: str) -> Content:
    return Content.styled(text, "$primary")
