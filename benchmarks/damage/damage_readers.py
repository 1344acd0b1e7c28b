"""Every function that reads a file, given documents that are in order but for a few changes: what may come of it.

A value comes of it, or a sentence (DomcliError), and nothing else.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import damage_kinds
import damage_tree
import msgspec

from domcli import evaluations, finding, presets
from domcli.brief import BriefWriter, read_brief
from domcli.dashboard.details import tail
from domcli.dashboard.replay import play_times, read_events
from domcli.errors import DomcliError
from domcli.evaluations import Findings
from domcli.exchange import figures as paper_figures
from domcli.exchange.imports import read_runs
from domcli.exchange.table import csv_text
from domcli.launch.estimate import cost_key
from domcli.origin import origin_of
from domcli.printable import as_json
from domcli.rundir import RunDirectory
from domcli.runs import read_run
from domcli.sharing import figures
from domcli.stream import EventReader, EventWriter, next_seq

LITERALS = (
    *(text for text in damage_kinds.VALUES.values() if len(text) < 10_000),
    *(text for text in damage_kinds.TOML_VALUES.values() if len(text) < 10_000),
    "None", "1e400", "-0.0", "0x10", "9" * 400, "'x'", "()", "{1: 2}", str(2**63), str(-(2**63) - 1), "\n", "\0",
)  # fmt: skip
_VALUE = re.compile(rb"""-?\d[\d.e+-]*|"[^"\n]*"|'[^'\n]*'|\btrue\b|\bfalse\b|\bnull\b|\bNone\b|\[[^][]*\]""")
_ENTRY = re.compile(rb"""[\w."']+\s*[:=]\s*[^,\n}]*,?""")


@dataclass(frozen=True)
class Reader:
    """A function that reads a run, and the file of the run that it reads."""

    file: str
    read: Callable[[RunDirectory], object]
    refusals: tuple[type[Exception], ...] = (DomcliError,)


def changed(content: bytes, chance: random.Random) -> bytes:
    """Return content with one to three changes: values replaced, entries taken away, bytes flipped, put in, cut."""
    ways = (_replace_value, _replace_value, _replace_value, _remove_entry, _flip, _insert, _cut, _remove, _repeat)
    for _ in range(chance.randint(1, 3)):
        content = chance.choice(ways)(content, chance)
    return content


def outcome(reader: Reader, run: RunDirectory, content: bytes) -> BaseException | None:
    """Have changed content read; return what came of it that may not, None if all is as it must be."""
    path = run.path / reader.file
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        reader.read(run)
    except reader.refusals:
        return None
    except Exception as error:
        return error
    finally:
        path.write_bytes(before)
    return None


def make(folder: Path) -> RunDirectory:
    """Make the run whose files are read, and beside it what is not in a run."""
    run = RunDirectory(damage_tree.make(folder, "queued"))
    (run.path / "official.log").write_text(damage_tree.OFFICIAL_LOG)
    (run.path / "override").write_text("train.max_lr=0.1")
    (run.path / "said").write_bytes(
        evaluations.encode(evaluations.Progress(
            stage="pgd", done=1, images=2, correct=1, total=2, fraction=0.5, remaining=1.0
        ))
    )  # fmt: skip
    (run.path / "together.json").write_bytes(msgspec.json.encode([_measured()]))
    name = next(run.evaluations.iterdir()).name
    (run.path / "evaluation").symlink_to(Path("evaluations") / name)
    return run


def _listed(run: RunDirectory) -> object:
    found = read_run(run, brief=True)
    return found.findings, found.progress, found.state.remaining_seconds()


def _override(run: RunDirectory) -> object:
    text = (run.path / "override").read_bytes().decode(errors="surrogateescape")
    return presets.resolve("pgd-dom-re", [text])


def _plan(run: RunDirectory) -> object:
    plan = evaluations.read_plan(run.path / "evaluation")
    return plan.name, plan.title, plan.file(run)


def _losses(run: RunDirectory) -> object:
    record = paper_figures.Record(run, presets.from_run(run), read_run(run).state)
    return paper_figures._losses(record).shape


def _best(run: RunDirectory) -> object:
    before = os.environ.get("XDG_CACHE_HOME", "")
    folder = run.path / "cache" / "domcli"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "together.json").write_bytes((run.path / "together.json").read_bytes())
    os.environ["XDG_CACHE_HOME"] = str(folder.parent.absolute())
    try:
        return [figures.best(one.together, 1 << 30) for one in figures.recall()]
    finally:
        os.environ["XDG_CACHE_HOME"] = before


def _measured() -> figures.Figures:
    return figures.Figures(
        device="CPU", cores=2, mps=False, paradigm="pgd", model="preactresnet18", width=64, batch_size=128,
        precision="float32", torch="2", domcli="0", date="today",
        together=(figures.Together(trainers=1, images_per_second=10.0, memory=1 << 20),),
    )  # fmt: skip


def _place(content: bytes, chance: random.Random) -> int:
    return chance.randint(0, len(content))


def _replace_value(content: bytes, chance: random.Random) -> bytes:
    return _at_one(_VALUE, content, chance, chance.choice(LITERALS).encode())


def _remove_entry(content: bytes, chance: random.Random) -> bytes:
    return _at_one(_ENTRY, content, chance, b"")


def _at_one(pattern: re.Pattern[bytes], content: bytes, chance: random.Random, text: bytes) -> bytes:
    found: list[Any] = list(pattern.finditer(content))
    if not found:
        return content
    one = chance.choice(found)
    return content[: one.start()] + text + content[one.end() :]


def _flip(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + bytes(byte ^ 1 << chance.randint(0, 7) for byte in content[at : at + 1]) + content[at + 1 :]


def _insert(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + bytes(chance.randint(0, 255) for _ in range(chance.randint(1, 4))) + content[at:]


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def _remove(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + content[at + chance.randint(1, 40) :]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    piece = content[at : at + chance.randint(1, 40)]
    return content[:at] + piece * chance.randint(2, 5) + content[at:]


READERS: dict[str, Reader] = {
    "rundir.read_settings": Reader("settings.toml", lambda run: as_json(run.read_settings())),
    "presets.from_run": Reader("settings.toml", presets.from_run),
    "presets.load": Reader("settings.toml", lambda run: presets.load(str(run.settings))),
    "presets.resolve": Reader("settings.toml", lambda run: presets.resolve(str(run.settings), quick=True).digest()),
    "presets.resolve --set": Reader("override", _override),
    "launch.estimate.cost_key": Reader("settings.toml", lambda run: cost_key(run.read_settings())),
    "rundir.read_environment": Reader("environment.json", lambda run: as_json(run.read_environment())),
    "origin.origin_of": Reader("environment.json", lambda run: origin_of(run.read_environment())),
    "rundir.update_environment": Reader("environment.json", lambda run: run.update_environment({"threads": 1})),
    "rundir.read_process": Reader("process.json", lambda run: run.read_process()),
    "rundir.read_ticket": Reader("queue.json", lambda run: run.read_ticket()),
    "finding.queue_places": Reader("queue.json", lambda run: finding.queue_places(run.path.parent)),
    "brief.read_brief": Reader("brief.json", read_brief),
    "runs.read_run, brief": Reader("brief.json", _listed),
    "runs.read_run": Reader("events.jsonl", _listed),
    "stream.EventReader": Reader("events.jsonl", lambda run: EventReader(run.events).read()),
    "stream.next_seq": Reader("events.jsonl", lambda run: next_seq(run.events)),
    "stream.EventWriter": Reader("events.jsonl", lambda run: EventWriter(run.events).close()),
    "brief.BriefWriter": Reader("events.jsonl", lambda run: BriefWriter(run).close()),
    "dashboard.replay": Reader("events.jsonl", lambda run: play_times(read_events(run))),
    "exchange.table": Reader("events.jsonl", lambda run: csv_text([(run, read_run(run).state)])),
    "dashboard.details.tail": Reader("trainer.log", lambda run: tail(run.log)),
    "evaluations.read_plan": Reader("evaluation/plan.json", _plan),
    "evaluations.read_all": Reader("evaluation/result.json", lambda run: evaluations.read_all(run)),
    "evaluations.Findings": Reader("evaluation/images.jsonl", lambda run: Findings(run.path / "evaluation").close()),
    "evaluations.decode": Reader("said", lambda run: evaluations.decode((run.path / "said").read_bytes())),
    "evaluations.make_plan": Reader("checkpoints/best.safetensors", damage_tree.plan_of),
    "exchange.imports": Reader(
        "official.log", lambda run: read_runs([run.path / "official.log"], run.path.parent, "new")
    ),
    "exchange.figures, patterns": Reader(
        "memorization.npy", _losses, (DomcliError, paper_figures.NotRecordedError)
    ),
    "sharing.figures": Reader("together.json", _best),
}  # fmt: skip
"""Every reader but those of the trainer, which need torch."""
