"""Every command that reads runs, called in this process beside a damaged run, and what it must not do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import damage_dashboard
import typer
from damage_kinds import Damage
from damage_tree import BAD, HEALTHY, State, anew

from domcli.cli import evaluating, follow, logs, main
from domcli.dashboard.curves import View
from domcli.launch import queue

SECONDS = 60.0
"""So long may a command take beside a damaged run: many times what it does take."""
LEAVE_SECONDS = 0.5
"""A run that is queued is followed for so long, until Ctrl-\\ : it waits, and nobody launches it here."""
MEMORY = 2 << 30
"""Bytes of address space that a command may take beyond what the process has."""

RUNS = Path("runs")
NOT_ABOUT_RUNS = frozenset({"bench"})
"""It trains for itself."""


@dataclass(frozen=True)
class Command:
    """A call. `beside` is what stands in its output of healthy runs, whatever the bad one holds."""

    words: tuple[str, ...]
    states: tuple[State, ...]
    beside: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(self.words)


def _command(words: str, *states: State, beside: tuple[str, ...] = ()) -> Command:
    return Command(tuple(words.split()), states, beside)


COMPARED = ("table", "markdown", "latex", "csv", "json", "html")
COMMANDS: tuple[Command, ...] = (
    _command("runs", "finished", "failed", "lost", "queued", beside=(*HEALTHY, BAD)),
    _command("runs --json", "finished", "failed", "lost", "queued", beside=(*HEALTHY, BAD)),
    *(_command(f"runs --sort {key}", "queued", beside=(*HEALTHY, BAD)) for key in ("best", "created", "eta", "device")),
    _command(f"show {BAD}", "finished", "failed", "lost", "queued"),
    _command(f"show {BAD} --json", "finished", "lost", "queued"),
    _command(f"logs {BAD}", "finished", "lost", "queued"),
    _command(f"logs -f {BAD}", "lost"),
    _command(f"follow {BAD} {HEALTHY[0]}", "lost", "left", "queued"),
    _command("follow", "queued"),
    *(_command(f"compare-runs * --format {form}", "finished", beside=("good",)) for form in COMPARED),
    _command("compare-runs bad good --at-epoch 2", "lost", "finished", beside=("good",)),
    _command("compare-runs bad good --paper", "finished", beside=("good",)),
    _command("compare-runs * --plot p.svg", "finished"),
    _command("export * --csv -", "finished", "lost", beside=HEALTHY),
    _command("export * --tensorboard tb", "finished"),
    _command("figures * --json", "finished", beside=HEALTHY),
    _command(f"stop {BAD}", "queued", "lost"),
    _command(f"kill {BAD}", "queued", "lost"),
    _command(f"resume {BAD} --detach", "lost", "failed", "left", "queued"),
    _command("retry --detach", "lost", "failed"),
    _command(f"delete {BAD} --yes", "finished", "queued"),
    _command(f"evaluate {BAD}", "finished"),
    _command(f"evaluate {BAD} --steps 3 --json", "finished"),
    _command(f"evaluate {HEALTHY[0]}", "finished", beside=HEALTHY[:1]),
    _command(f"presets check runs/{BAD}/settings.toml", "finished"),
    _command(f"presets show runs/{BAD}/settings.toml", "finished"),
    _command("run pgd-dom-re --quick --dry-run --json", "finished", "queued"),
    _command(f"run runs/{BAD}/settings.toml --dry-run", "finished"),
    _command(f"import runs/{BAD}/trainer.log --name new", "finished"),
    _command("doctor --json", "queued"),
    _command("dashboard", "finished", "failed", "lost", "queued", beside=(*HEALTHY, BAD)),
    _command(f"dashboard --replay {BAD}", "finished", "lost"),
)


def in_the_app() -> set[str]:
    """Return every command that the command line has, so that a new one is not forgotten here."""
    found = {str(one.name) for one in main.app.registered_commands}
    for group in main.app.registered_groups:
        assert group.typer_instance is not None
        found |= {
            f"presets {one.name or getattr(one.callback, '__name__', '')}"
            for one in group.typer_instance.registered_commands
        }
    return found


def tried() -> set[str]:
    """Return the commands that are tried here."""
    return {" ".join(one.words[: 2 if one.words[0] == "presets" else 1]) for one in COMMANDS}


@dataclass(frozen=True)
class Done:
    """What a call came to; `fault` is why it is not as it must be, None if it is."""

    code: int | None
    out: str
    err: str
    fault: str | None = None


class Hang(BaseException):
    """A call goes on and on."""


def attempt(command: Command, damage: Damage, folder: Path, kept: Path) -> Done:
    """Damage a run, make a call in the folder of its runs directory, and judge what came of it."""
    bad = anew(folder, kept)
    damage.do(bad / damage.file)
    with limits(may_wait=command.words[0] == "follow"):
        done = _look(command.words) if command.words[0] == "dashboard" else call(command.words)
    return Done(done.code, done.out, done.err, done.fault or _fault(command, done))


def call(words: tuple[str, ...]) -> Done:
    """Call domcli in this process, in the current folder."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    argv, hook, code, fault = sys.argv, sys.excepthook, 0, None
    sys.argv = ["domcli", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Hang:
        fault = "hang"
    except BaseException as error:
        fault = f"traceback: {summary_of(error)}"
    finally:
        sys.argv, sys.excepthook = argv, hook
    return Done(code, _read(out), _read(err), fault)


def _look(words: tuple[str, ...]) -> Done:
    """Have the dashboard read and draw all that it shows: there is no terminal here."""
    try:
        names = damage_dashboard.replay(RUNS, BAD) if "--replay" in words else damage_dashboard.look(RUNS, View(), BAD)
    except Hang:
        return Done(None, "", "", "hang")
    except Exception as error:
        return Done(None, "", "", f"traceback: {summary_of(error)}")
    return Done(0, "\n".join(names), "")


def summary_of(error: BaseException) -> str:
    """Return an error in a line, with the last place of it in domcli."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}domcli{os.sep}" in frame.filename
    ]
    where = f" at {frames[-1].filename.rpartition('/domcli/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {str(error)[:120]!r}{where}"


@contextlib.contextmanager
def without_trainers() -> Iterator[None]:
    """Have nothing trained or waited for: supervisors and attacks end at once, and times of waiting are short."""
    changes: list[tuple[Any, str, Any]] = [
        (main, "app", typer.main.get_command(main.app)),  # Typer would make it anew for every call
        (queue, "SUPERVISOR", ("true",)),
        (evaluating, "PROCESS", ("false",)),
        (follow, "POLL_SECONDS", 0.001),
        (follow, "WAKE_SECONDS", 0.001),
        (logs, "POLL_SECONDS", 0.001),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in changes]
    for place, name, value in changes:
        setattr(place, name, value)
    try:
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)


@contextlib.contextmanager
def limits(*, may_wait: bool) -> Iterator[None]:
    """Break off what takes too long, and let nobody have more memory than is sane.

    With `may_wait`, a command that has not ended after a moment is first asked to leave, as by Ctrl-\\\\.
    """

    left = not may_wait

    def too_long(_number: int, _frame: FrameType | None) -> None:
        nonlocal left
        if left or signal.getsignal(signal.SIGQUIT) in (signal.SIG_DFL, signal.SIG_IGN):
            raise Hang
        left = True
        os.kill(os.getpid(), signal.SIGQUIT)

    handler = signal.signal(signal.SIGALRM, too_long)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, LEAVE_SECONDS if may_wait else SECONDS, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, handler)


def _fault(command: Command, done: Done) -> str | None:
    """Return what a call that ended did wrong."""
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("exit code", lambda: done.code in (0, 1, 2)),
        ("says nothing", lambda: bool(done.out.strip() or done.err.strip() or done.code == 0)),
        ("traceback", lambda: "Traceback" not in done.err and "Traceback" not in done.out),
        ("controls", lambda: "\x1b" not in done.out + done.err and "\u202e" not in done.out + done.err),
        ("not JSON", lambda: "--json" not in command.words or not done.out or _is_json(done.out)),
        ("healthy runs", lambda: all(name in done.out + done.err for name in command.beside)),
    )
    return next((f"{name}: exit {done.code}, {done.err[-200:]!r}" for name, holds in checks if not holds()), None)


def _is_json(text: str) -> bool:
    """Tell whether text is JSON as the standard has it: no NaN, no half of a pair of characters."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        json.dumps(json.loads(text, parse_constant=refuse), ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def _read(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", errors="replace")
