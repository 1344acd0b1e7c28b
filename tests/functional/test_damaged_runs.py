"""No file of a run, whatever it holds, hurts more than that run: every command, and the dashboard, beside damaged runs.

What is damaged, and how, and what a command must not do, is in benchmarks/damage; `benchmarks/damage/damage.py` tries
far more of it than is tried here.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import damage_commands
import damage_kinds
import pytest
from damage import Trees, product
from damage_commands import Command
from damage_kinds import Damage
from damage_tree import BAD, State, anew

from domcli.errors import StorageError
from domcli.launch import queue
from domcli.rundir import RunDirectory

PARTS = 8
VALUES_PER_PART = 30
SLOW = ("figures", "doctor", "--plot")
"""They take long whatever is damaged, and are not sampled as often."""

Call = tuple[Command, State, Damage]


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trees]:
    """Runs in every state, and the folder in which they are damaged, which is the current one."""
    monkeypatch.delenv("DOMCLI_RUNS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = Trees(tmp_path / "trees")
    found.make()
    monkeypatch.chdir(found.work)
    with damage_commands.without_trainers():
        yield found


def faults(trees: Trees, calls: list[Call]) -> list[str]:
    found = []
    for command, state, damage in calls:
        done = damage_commands.attempt(command, damage, trees.work, trees.kept[state])
        if done.fault is not None:
            found.append(f"{command} ({state}) | {damage}: {done.fault}")
    return found


def of_a_part(trees: Trees, part: int) -> list[Call]:
    """Return each damage of a whole file once in all parts together, and some of single values, beside any command."""
    chance = random.Random(part)
    quick = [one for one in damage_commands.COMMANDS if not set(SLOW) & set(one.words)]
    calls: list[Call] = []
    for state in ("finished", "queued"):
        whole, by_value = trees.damages(state)
        for damage in (*whole[part::PARTS], *chance.sample(by_value, VALUES_PER_PART)):
            command = chance.choice([one for one in quick if state in one.states])
            calls.append((command, state, damage))
    return calls


def test_every_command_is_tried() -> None:
    assert damage_commands.tried() | damage_commands.NOT_ABOUT_RUNS == damage_commands.in_the_app()


def test_nothing_is_wrong_beside_a_run_that_is_whole(trees: Trees) -> None:
    whole = Damage("settings.toml", "none", lambda path: None)
    assert not faults(trees, [(one, state, whole) for one in damage_commands.COMMANDS for state in one.states])


@pytest.mark.parametrize("part", range(PARTS))
def test_a_damaged_run_hurts_nobody_else(trees: Trees, part: int) -> None:
    assert not faults(trees, of_a_part(trees, part))


WHOLE = (
    "missing",
    "not UTF-8",
    "JSON nested deep and closed",
    "TOML nested deep",
    "pipe",
    "folder",
    "link to /dev/zero",
)
KEY = ("NaN", "a date", "nested 60", "nested 400", "half a pair", "controls", "10**5000", "5,000 hexadecimal digits")


@pytest.mark.parametrize(
    "words",
    ["runs --json", f"show {BAD} --json", f"show {BAD}", "compare-runs * --format json", "export * --csv -",
     "figures * --json", "retry --detach", f"follow {BAD} good-seed0", f"evaluate {BAD}", "dashboard"],
)  # fmt: skip
def test_settings_that_cannot_be_read_or_shown(trees: Trees, words: str) -> None:
    damages = [Damage("settings.toml", kind, damage_kinds.WHOLE[kind]) for kind in WHOLE]
    run = trees.kept["finished"] / "runs" / BAD
    single = [f"train.max_lr = {kind}" for kind in KEY] + [f"evaluation = {kind}" for kind in KEY]
    damages += [one for one in damage_kinds.by_value(run, ["settings.toml"]) if one.kind in single]
    wanted = set(map(str, damages[:2] if "figures" in words else damages))
    calls = [call for call in product(trees, [words]) if str(call[0]) == words and str(call[2]) in wanted]
    assert {str(damage) for _, _, damage in calls} == wanted
    once = {str(damage): (command, state, damage) for command, state, damage in calls}
    assert not faults(trees, list(once.values()))


def refuse(_runs_dir: Path) -> None:
    raise StorageError("there is no room")


@pytest.mark.parametrize(
    ("wake", "why"), [(None, "the process that does it ends at once"), (refuse, "there is no room")]
)
def test_following_ends_where_nobody_can_advance_the_queue(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, wake: Callable[[Path], None] | None, why: str
) -> None:
    """The run is lost, and its ticket lies there: it was to be launched again."""
    if wake is not None:
        monkeypatch.setattr(queue, "wake", wake)
        monkeypatch.setattr(queue, "stalled", wake)
    anew(trees.work, trees.kept["left"])
    with damage_commands.limits(may_wait=False):
        done = damage_commands.call(("follow", BAD))
    assert (done.code, done.fault) == (1, None)
    assert f"the queue is not advanced: {why}" in done.err


def test_one_run_that_cannot_be_read_keeps_no_other_from_going_on(trees: Trees) -> None:
    bad = anew(trees.work, trees.kept["lost"])
    shutil.copytree(bad, bad.with_name("worse-seed0"))
    (bad.with_name("worse-seed0") / "settings.toml").write_text("[train]\nepochs = 0\n")
    done = damage_commands.call(("retry", "--detach"))
    assert (done.code, done.fault) == (0, None)
    assert RunDirectory(bad).read_ticket() is not None
    assert re.search(r"left out: .*worse-seed0/settings.toml, line 2: train.epochs is 0", done.err)
    shutil.rmtree(bad.with_name("worse-seed0"))
