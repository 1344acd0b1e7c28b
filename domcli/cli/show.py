"""`domcli show`: everything about one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domcli import amounts
from domcli.cli import options, output

if TYPE_CHECKING:
    from domcli.runs import Run

ENVIRONMENT = (
    *("preset", "command_line", "hostname", "platform", "python", "domcli", "torch", "git_commit"),
    *("imported_from", "official_version"),
)

COMPUTED = ("kernels", "network", "threads", "no_graphs", "not_compiled")
"""What is told of how steps were done."""
SHORTEST_STAGE = 0.05
"""Seconds of a stage of the start that is shown."""


def show(run: options.RunName, runs_dir: options.RunsDir = None, as_json: options.Json = False) -> None:
    """Show a run: what was set, where it ran, its epochs, best and last, checkpoints."""
    from domcli.cli.selection import wake_queue
    from domcli.runs import read_run

    directory = options.find_run(run, runs_dir)
    wake_queue(directory.path.parent)
    found = read_run(directory)
    if as_json:
        output.json_data(_json(found))
    else:
        output.lines(_lines(found))


def _json(run: Run) -> dict[str, Any]:
    import msgspec

    from domcli import evaluations
    from domcli.cli import evaluation_text
    from domcli.cli.summary import as_json

    return {
        **as_json(run),
        "settings": run.settings,
        "devices": [device.name for device in run.ticket.devices] if run.ticket else None,
        "environment": run.directory.read_environment(),
        "evaluations": [evaluation_text.as_json(run, one) for one in evaluations.read_all(run.directory)],
        "epoch_events": [msgspec.to_builtins(epoch) for epoch in run.state.epochs],
        "checkpoints": [msgspec.to_builtins(saved) for saved in run.state.checkpoints],
    }


def _lines(run: Run) -> list[str]:
    from domcli import evaluations
    from domcli.cli.evaluation_text import show_lines
    from domcli.cli.summary import closing_lines, reason, what_happened

    lines = closing_lines(run)
    why, problem = reason(run), what_happened(run)
    lines += [f"  reason: {why}"] if why else []
    lines += [f"  problem: {problem}"] if problem and problem != why else []
    lines += ["", "settings that differ from the defaults"]
    lines += [f"  {line}" for line in _changed(run)] or ["  none" if run.settings else "  not known"]
    lines += ["", "environment"]
    lines += [f"  {line}" for line in _environment(run)] or ["  not known"]
    attacked = evaluations.read_all(run.directory)
    lines += ["", "evaluations", *(f"  {line}" for line in show_lines(run, attacked))] if attacked else []
    return lines + _epochs(run)


def _changed(run: Run) -> list[str]:
    """Return `section.key = value` for what differs from the defaults, values as in TOML."""
    import json

    from domcli.settings import Settings

    defaults = Settings().complete()
    added = run.settings.get("extensions")
    extended = [f"extensions = {json.dumps(added, ensure_ascii=False, default=str)}"] if added else []
    return extended + [
        f"{section}.{key} = {json.dumps(value, ensure_ascii=False, default=str)}"
        for section, table in run.settings.items()
        if isinstance(table, dict)
        for key, value in table.items()
        if defaults.get(section, {}).get(key) != value
    ]


def _environment(run: Run) -> list[str]:
    known = run.directory.read_environment()
    words = {key: str(known[key]) for key in ENVIRONMENT if known.get(key)}
    if "torch" in words and run.state.started is None:
        words["torch"] += " (installed; its build is noted when the run starts)"
    lines = [f"{key.replace('_', ' ')}: {text}" for key, text in words.items()]
    created = known.get("created")
    if isinstance(created, int | float):
        lines.insert(0, f"created: {amounts.date(created, '%Y-%m-%d %H:%M:%S')}")
    started = run.state.started
    if started is not None and known.get("imported_from"):
        lines.append(f"device: {started.device_name}; precision: {started.precision}")
    elif started is not None:
        lines.append(f"device: {started.device} ({started.device_name}), {started.precision}")
    lines += [*_computed(known), *_start(known.get("startup"))]
    remarks = known.get("import_remarks")
    return [*lines, *(f"note: {remark}" for remark in (remarks if isinstance(remarks, list) else ()))]


def _computed(known: dict[str, Any]) -> list[str]:
    """Return a line on how the steps were done, and why not faster, as the trainer noted it."""
    if not known.get("steps"):
        return []
    parts = [str(known["steps"])]
    parts += [f"{key.replace('_', ' ')}: {known[key]}" for key in COMPUTED if known.get(key)]
    return [f"computed: {'; '.join(parts)}"]


def _start(startup: object) -> list[str]:
    """Return a line on how long the last start took, as its trainer noted it; stages of no length are left out."""
    seconds = startup.get("seconds") if isinstance(startup, dict) else None
    if not isinstance(seconds, dict) or not all(isinstance(value, int | float) for value in seconds.values()):
        return []
    total = seconds.get("total")
    stages = {stage: value for stage, value in seconds.items() if stage != "total" and value >= SHORTEST_STAGE}
    parts = ", ".join(f"{stage.replace('_', ' ')} {value:.1f}" for stage, value in stages.items())
    if total is None:
        return []
    return [f"start: {total:.1f} s from the trainer's launch to the end of its first step{parts and f' ({parts})'}"]


def _epochs(run: Run) -> list[str]:
    from domcli.cli.epochs import EpochTable
    from domcli.errors import SettingsError
    from domcli.presets import from_run

    if not run.state.epochs:
        return []
    try:
        table = EpochTable(from_run(run.directory))
    except SettingsError:
        return []
    return ["", *table.legend(), *table.header(), *(table.line(epoch) for epoch in run.state.epochs)]
