"""Every command on every kind of stream: closed, full, without a reader, with few letters, with texts that command.

All commands of the command line are here, or the test of that fails.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import made_runs
import pytest
import typer
from conftest import CommandLine
from official_log import LOG

from domcli import rundir
from domcli.cli.main import app
from domcli.events import Failed
from domcli.printable import printable
from domcli.rundir import RunDirectory

HERE = Path(__file__).parent
EVIL = "evil\x1b]0;OWNED\x07\x9b2J\u202e\u2028\x1b[2J"
ODD = os.fsdecode(b"odd\xff\x1b]2;OWNED\x07")
"""The name of a run, made by another program: not UTF-8, and a command to terminals."""


@dataclass(frozen=True)
class Call:
    """How a command is called, how it ends, and whether it writes to stdout."""

    arguments: tuple[str, ...]
    code: int = 0
    data: bool = True


def call(text: str, code: int = 0, *, data: bool = True) -> Call:
    return Call(tuple(text.split()), code, data)


CALLS: dict[str, list[Call]] = {
    "": [call(""), call("--version"), call("--help"), call(f"--{ODD}", 2, data=False)],
    "run": [
        call("run pgd-dom-re --quick --device cpu --detach --name new", data=False),
        call("run pgd-dom-re --quick --dry-run"),
        Call(("run", f"no-preset-{ODD}"), 2, data=False),
    ],
    "resume": [call("resume stopped --device cpu --detach", data=False), call("resume finished", 2, data=False)],
    "retry": [call("retry failed --device cpu --detach", data=False)],
    "follow": [call("follow finished")],
    "stop": [call("stop finished", 2, data=False)],
    "kill": [call("kill finished", 2, data=False)],
    "delete": [call("delete old --yes", data=False)],
    "runs": [call("runs"), call("runs --json")],
    "show": [
        *(call("show evil"), call("show evil --json")),
        *(Call(("show", ODD)), Call(("show", f"no{ODD}"), 2, data=False)),
    ],
    "logs": [call("logs evil")],
    "dashboard": [call("dashboard", 2, data=False)],
    "compare-runs": [call(f"compare-runs * --format {form}") for form in ("table", "markdown", "latex", "html")]
    + [call("compare-runs * --format csv"), call("compare-runs * --json")],
    "evaluate": [call("evaluate evaluated --device cpu")],
    "figures": [call("figures finished --format svg")],
    "export": [call("export * --csv -"), call("export * --tensorboard board", data=False)],
    "import": [call("import output.log"), call("import missing.log", 2, data=False)],
    "bench": [call("bench --device cpu --json -")],
    "doctor": [call("doctor", 1)],
    "presets": [call("presets"), call("presets --json")],
    "presets show": [call("presets show pgd-dom-re"), Call(("presets", "show", f"{ODD}.toml"))],
    "presets check": [call("presets check pgd-dom-re")],
}


@dataclass(frozen=True)
class Scene:
    """What stdin, stdout and stderr are, and which variables of the environment are different."""

    streams: str
    variables: dict[str, str] = field(default_factory=dict)


SCENES = {
    "files": Scene("nothing,file,file"),
    "latin-1": Scene("nothing,terminal,file", {"PYTHONIOENCODING": "iso-8859-1", "TERM": "xterm"}),
    "terminal": Scene("nothing,terminal,terminal", {"TERM": "xterm-256color"}),
    "dumb": Scene("nothing,terminal,terminal", {"TERM": "dumb"}),
    "closed-in": Scene("closed,file,file", {"PYTHONIOENCODING": "ascii"}),
    "closed-out": Scene("nothing,closed,file"),
    "closed-err": Scene("nothing,file,closed", {"LC_ALL": "C", "LANG": "C"}),
    "closed": Scene("closed,closed,closed"),
    "full-out": Scene("nothing,full,file"),
    "full-err": Scene("nothing,file,full"),
    "broken-out": Scene("nothing,broken,file"),
}


def test_every_command_is_here() -> None:
    assert set(CALLS) - {""} == set(names(typer.main.get_command(app)))


def names(group: object, before: str = "") -> list[str]:
    """Return the names of all commands of a group, those of its groups after it."""
    found: list[str] = []
    for name, command in getattr(group, "commands", {}).items():
        found += [before + name, *names(command, f"{before}{name} ")]
    return found


@pytest.fixture
def folder(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs in all states, of which some hold texts that command terminals, in names, settings, reasons and logs."""
    cli.play("finish")
    for name, state in (("finished", "finished"), ("stopped", "stopped"), ("old", "finished"), ("failed", "failed")):
        made_runs.make(name, state, epochs=4 if state == "finished" else 2)
    monkeypatch.setitem(made_runs.ENDINGS, "failed", Failed(cause="error", reason=EVIL))
    evil = made_runs.make("evil", "failed", preset=EVIL)
    evil.log.write_text(f"{EVIL}\nsecond\r\n", encoding="utf-8")
    known = {"preset": ODD, "command_line": EVIL, "hostname": EVIL, "git_commit": EVIL, "domcli": EVIL}
    evil.environment.write_text(json.dumps(evil.read_environment() | known))
    odd = made_runs.make("odd", "finished", epochs=4, preset=ODD)
    shutil.move(odd.path, odd.path.with_name(ODD))
    made = rundir.create(Path("runs"), "evaluated", odd_settings(), {"preset": "pgd-dom-re"})
    header = json.dumps({"__metadata__": {"domcli": '{"epoch": 7, "step": 0}'}}).encode()
    made.checkpoint("best").write_bytes(len(header).to_bytes(8, "little") + header)
    Path("output.log").write_text(f"\ufeff{LOG}", encoding="utf-8")
    Path(f"{ODD}.toml").write_text("# a preset\n[train]\nepochs = 3\n")
    Path("enough").touch()
    monkeypatch.setenv("FAKE_BENCH", str(tmp_path))
    monkeypatch.setenv("FAKE_ASSESS", "finish")
    return tmp_path


def odd_settings() -> dict[str, object]:
    return RunDirectory(Path("runs", "finished")).read_settings()


@pytest.mark.parametrize("name", SCENES)
def test_no_stream_ends_a_command_with_a_traceback(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = SCENES[name]
    calls = [one for calls in CALLS.values() for one in calls]
    done = in_a_row(scene, calls, monkeypatch)
    wrong = [problem for one, result in zip(calls, done, strict=True) for problem in problems(scene, one, *result)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_shell_closes_streams(closed: str, cli: CommandLine) -> None:
    cli.play("finish")
    for arguments in (["presets"], ["runs"], ["run", "pgd-dom-re", "--quick", "--device", "cpu", "--detach"]):
        command = f"exec {shlex.join(cli.command(*arguments))} {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert bool(done.stdout) == (arguments == ["presets"] and ">&-" not in closed.replace("2>&-", ""))


def in_a_row(scene: Scene, calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, str]]:
    for variable in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "LC_ALL", "PYTHONIOENCODING"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in scene.variables.items():
        monkeypatch.setenv(variable, value)
    program = [sys.executable, str(HERE / "cli_in_a_row.py"), scene.streams, "results.json"]
    asked = json.dumps([one.arguments for one in calls]).encode()
    server = subprocess.run(program, input=asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=600)
    assert server.returncode == 0, server.stderr.decode()[-3000:]
    return [tuple(one) for one in json.loads(Path("results.json").read_text())]


def problems(scene: Scene, one: Call, code: int, out: str, err: str) -> list[str]:
    """Return what is wrong with how a command ended."""
    _, stdout, _ = scene.streams.split(",")
    lost = stdout in ("full", "broken") and one.data
    found = [] if code in ({1, one.code} - ({0} if lost else set()) if lost else {one.code}) else [f"ended with {code}"]
    if stdout in ("file", "terminal") and one.data and not out:
        found.append("wrote nothing to stdout")
    if stdout == "full" and lost and "cannot write the output: No space left on device" not in err and one.code == 0:
        found.append("did not say that stdout is full")
    if one.code == 2 and "file" in scene.streams.split(",")[2] and not err.startswith("error: "):
        found.append("did not say what is wrong")
    for text in (out, err):
        if "Traceback" in text:
            found.append("showed a traceback")
        if "OWNED\x07" in text or {"\x07", "\x9b", "\u202e", "\u2028"} & set(text):
            found.append("passed a command on to the terminal")
        if "\x1b" in text and "terminal" not in scene.streams:
            found.append("wrote an escape")
        if scene.streams == "nothing,file,file" and text != printable(text):
            found.append("wrote what cannot be shown")
    if one.arguments[-1:] == ("--json",) and stdout == "file":
        json.loads(out)
    return [f"{' '.join(one.arguments)!r}: {problem}: {code} {out[-300:]!r} {err[-1500:]!r}" for problem in found]
