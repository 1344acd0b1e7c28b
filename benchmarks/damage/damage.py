"""Does no file of a run, whatever it holds, hurt more than that run? Every command beside every damage.

python benchmarks/damage/damage.py [--share 0.1] [--seconds 600] [--only WORD ...] [--readers 1000] [--output FILE]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import damage_commands
import damage_kinds
import damage_readers
import damage_tree
from damage_commands import Command
from damage_kinds import Damage
from damage_tree import State

SHOWN = 40


@dataclass
class Count:
    """What came of the calls of a kind."""

    calls: int = 0
    tracebacks: int = 0
    hangs: int = 0
    others: int = 0

    def add(self, fault: str | None) -> None:
        self.calls += 1
        self.hangs += fault == "hang"
        self.tracebacks += bool(fault) and str(fault).startswith("traceback")
        self.others += bool(fault) and fault != "hang" and not str(fault).startswith("traceback")


@dataclass
class Trees:
    """Healthy runs directories by state, and the folder in which they are damaged."""

    folder: Path
    kept: dict[State, Path] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def make(self) -> None:
        """Make them all."""
        self.work.mkdir(parents=True)
        for state in damage_tree.STATES:
            self.kept[state] = self.folder / state
            self.kept[state].mkdir()
            damage_tree.make(self.kept[state], state)

    def damages(self, state: State) -> tuple[list[Damage], list[Damage]]:
        """Return what may become of the files of a run in this state: as a whole, and value by value."""
        run = self.kept[state] / "runs" / damage_tree.BAD
        files = damage_tree.files_of(run)
        return list(damage_kinds.whole(files)), list(damage_kinds.by_value(run, files))


def product(trees: Trees, only: Sequence[str]) -> list[tuple[Command, State, Damage]]:
    """Return every command in each of its states beside every damage."""
    found: list[tuple[Command, State, Damage]] = []
    damages = {state: [one for kind in trees.damages(state) for one in kind] for state in damage_tree.STATES}
    for command in damage_commands.COMMANDS:
        if not only or any(word in str(command) for word in only):
            found += [(command, state, damage) for state in command.states for damage in damages[state]]
    return found


def sampled(
    calls: Sequence[tuple[Command, State, Damage]], share: float, seed: int
) -> Iterator[tuple[Command, State, Damage]]:
    """Yield a share of the calls, in any order: whole files and single values in turn, as long as there are both."""
    chosen = random.Random(seed).sample(calls, round(share * len(calls)))
    whole = [call for call in chosen if call[2].kind in damage_kinds.WHOLE]
    by_value = [call for call in chosen if call[2].kind not in damage_kinds.WHOLE]
    return (call for pair in zip_longest(whole, by_value) for call in pair if call is not None)


def main() -> int:
    """Try, and write what came of it."""
    arguments = _arguments()
    os.environ.pop("DOMCLI_RUNS_DIR", None)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        trees = Trees(Path(name) / "trees")
        trees.make()
        os.chdir(trees.work)
        calls = product(trees, arguments.only)
        report = Report(len(calls))
        with damage_commands.without_trainers():
            for command, state, damage in sampled(calls, arguments.share, arguments.seed):
                if time.monotonic() - report.began > arguments.seconds:
                    break
                done = damage_commands.attempt(command, damage, trees.work, trees.kept[state])
                report.add(command, state, damage, done.fault)
        os.chdir("/")
        faults, lines = of_the_readers(Path(name), arguments.readers, arguments.seed)
    text = "\n".join([*report.lines(), *lines])
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    return int(bool(report.faults) or faults)


def of_the_readers(folder: Path, times: int, seed: int) -> tuple[bool, list[str]]:
    """Give every reader so many changed documents; return whether one did what it may not, and the report."""
    if not times:
        return False, []
    (folder / "readers").mkdir()
    run = damage_readers.make(folder / "readers")
    chance = random.Random(seed)
    lines = ["", "| reader | file | changed documents | tracebacks | seconds |", "| --- | --- | ---: | ---: | ---: |"]
    found: Counter[str] = Counter()
    for name, reader in damage_readers.READERS.items():
        content = (run.path / reader.file).read_bytes()
        began, wrong = time.monotonic(), 0
        for _ in range(times):
            error = damage_readers.outcome(reader, run, damage_readers.changed(content, chance))
            if error is not None:
                wrong += 1
                found[f"{name}: {damage_commands.summary_of(error)}"] += 1
        lines.append(f"| {name} | {reader.file} | {times} | {wrong} | {time.monotonic() - began:.1f} |")
    return bool(found), [*lines, *(f"- {count} x {what}" for what, count in found.most_common(SHOWN))]


class Report:
    """What came of all calls, by file and by command."""

    def __init__(self, possible: int) -> None:
        self.began = time.monotonic()
        self.faults: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._possible = possible
        self._files: dict[str, Count] = {}
        self._commands: dict[str, Count] = {}
        self._damages: set[str] = set()

    def add(self, command: Command, state: State, damage: Damage, fault: str | None) -> None:
        """Count a call."""
        file = re.sub("^evaluations/[^/]*", "evaluations/NAME", damage.file)
        self._damages.add(str(damage))
        self._files.setdefault(file, Count()).add(fault)
        self._commands.setdefault(str(command), Count()).add(fault)
        if fault is not None:
            self.faults[fault] += 1
            self._examples.setdefault(fault, f"{command} ({state}) | {damage}")
            print(f"{command} ({state}) | {damage}: {fault}", file=sys.stderr, flush=True)

    def lines(self) -> Iterator[str]:
        """Yield the report as Markdown."""
        calls = sum(one.calls for one in self._files.values())
        yield (
            f"{calls:,} of {self._possible:,} calls: {len(self._commands)} commands, {len(self._damages):,} damages of "
            f"{len(self._files)} files and folders; {sum(self.faults.values())} faults"
        )
        for title, counts in (("file", self._files), ("command", self._commands)):
            yield ""
            yield f"| {title} | calls | tracebacks | hangs | other faults |"
            yield "| --- | ---: | ---: | ---: | ---: |"
            for name, one in sorted(counts.items()):
                yield f"| {name} | {one.calls} | {one.tracebacks} | {one.hangs} | {one.others} |"
        for fault, count in self.faults.most_common(SHOWN):
            yield f"- {count} x {fault}, first: {self._examples[fault]}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of all calls, chosen by chance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no further call is made")
    parser.add_argument("--readers", type=int, default=1000, metavar="N", help="changed documents for each reader")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="only commands with one of these words")
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
