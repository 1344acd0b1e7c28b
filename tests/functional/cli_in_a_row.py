"""The real command line, called many times on streams of a kind: each call in a process that is forked from this one.

python cli_in_a_row.py STREAMS RESULTS < COMMANDS

COMMANDS is JSON, a list of lists of arguments; STREAMS names what stdin, stdout and stderr are, such as
`nothing,file,closed`; into RESULTS goes JSON, for each command its exit code and what it wrote to stdout and stderr.
Trainers, evaluations, benchmarks and the probe of torch are fakes.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import matplotlib.figure  # noqa: F401 - once, not in every process

from domcli.checks import pytorch
from domcli.cli import benching, evaluating, main
from domcli.launch import queue

HERE = Path(__file__).parent
NAMES = ("stdin", "stdout", "stderr")


def call(arguments: Sequence[str], kinds: Sequence[str]) -> tuple[int, str, str]:
    """Run one command; return its exit code, and what it wrote where that can be read."""
    files = [tempfile.TemporaryFile() for _ in NAMES]  # noqa: SIM115
    master, slave = os.openpty()
    child = os.fork()
    if child == 0:
        os._exit(behave(arguments, kinds, [file.fileno() for file in files], slave))
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says when nobody has it open any more
        while part := os.read(master, 1 << 16):
            shown += part
    os.close(master)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    written = []
    for kind, file in zip(kinds, files, strict=True):
        file.seek(0)
        written.append((shown if kind == "terminal" else file.read()).decode(errors="surrogateescape"))
        file.close()
    return code, written[1], written[2]


def behave(arguments: Sequence[str], kinds: Sequence[str], files: Sequence[int], slave: int) -> int:
    """Be a command from its first to its last moment, as Python would have it; return its exit code."""
    for handle, (kind, name) in enumerate(zip(kinds, NAMES, strict=True)):
        if kind == "closed":
            os.close(handle)
            setattr(sys, name, None)
        else:
            os.dup2(opened(kind, files[handle], slave), handle)
            usual, mode, buffering = getattr(sys, name), "r" if handle == 0 else "w", 1 if kind == "terminal" else -1
            anew = open(handle, mode, buffering, encoding=usual.encoding, errors=usual.errors, closefd=False)  # noqa: SIM115
            setattr(sys, name, anew)
    os.close(slave)
    sys.argv = ["domcli", *arguments]
    code: object = 0
    try:
        main.main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except Exception:
        code = 120
    return code if isinstance(code, int) else int(code is not None)


def opened(kind: str, file: int, slave: int) -> int:
    if kind == "terminal":
        return slave
    if kind == "broken":
        reader, writer = os.pipe()
        os.close(reader)
        return writer
    return {"file": lambda: file, "nothing": lambda: os.open(os.devnull, os.O_RDWR)}.get(
        kind, lambda: os.open("/dev/full", os.O_WRONLY)
    )()


if __name__ == "__main__":
    queue.SUPERVISOR = (sys.executable, str(HERE / "supervisor_with_fake_trainer.py"))
    evaluating.PROCESS = (sys.executable, str(HERE / "fake_assess.py"))
    benching.PROCESS = (sys.executable, str(HERE / "fake_bench.py"))
    said = [pytorch.MARK + json.dumps({"stage": "torch", "found": {"version": "99.0", "cuda": None}})]
    pytorch.Probe = functools.partial(pytorch.Probe, command=(sys.executable, "-c", f"print({said[0]!r})"))  # type: ignore
    try:
        results = [call(arguments, sys.argv[1].split(",")) for arguments in json.load(sys.stdin)]
        Path(sys.argv[2]).write_text(json.dumps(results))
    except BaseException:
        traceback.print_exc()
        os._exit(99)
