"""A control program of MPS that listens in a folder of files instead of sockets.

`$FAKE_MPS` is its manner: empty, `refuses` to start, `mute` (starts, and answers nothing), `deaf` (does not quit, and
has a server). `$FAKE_MPS_USUAL` stands for /tmp/nvidia-mps.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

PROGRAM = r"""#!PYTHON
import os, pathlib, subprocess, sys, time
pipe = pathlib.Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or os.environ["FAKE_MPS_USUAL"])
name = pathlib.Path(__file__).name
manner = os.environ.get("FAKE_MPS", "")
known = pipe / (name + ".pid")


def runs():
    try:
        os.kill(int(known.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def serve():
    with open(pathlib.Path(__file__).with_name("started"), "a") as file:
        file.write(f"{os.getpid()}\n")
    if manner == "deaf" and os.fork() == 0:
        with open(pathlib.Path(__file__).with_name("started"), "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(600)
    (pipe / "visible").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    if "CUDA_MPS_LOG_DIRECTORY" in os.environ:
        pathlib.Path(os.environ["CUDA_MPS_LOG_DIRECTORY"], "control.log").write_text("started\nlistening\n")
    (pipe / "control").touch()
    known.write_text(str(os.getpid()))
    while manner == "deaf" or not (pipe / "quit").exists():
        time.sleep(0.02)
    known.unlink()


if sys.argv[1:] == ["-d"]:
    if manner == "refuses":
        print("this machine\ncannot", file=sys.stderr)
        sys.exit(3)
    if manner != "mute" and os.fork() == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        serve()
    elif manner != "mute":
        deadline = time.monotonic() + 20
        while not known.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    sys.exit(0)
command = sys.stdin.read().strip()
if not runs():
    print("Cannot find MPS control daemon process")
    sys.exit(1)
if command == "quit":
    (pipe / "quit").touch()
elif command == "get_server_list" and (pipe / "servers").exists():
    print((pipe / "servers").read_text())
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the program first on the path."""
    folder.mkdir()
    program = folder / "nvidia-cuda-mps-control"
    program.write_text(PROGRAM.replace("PYTHON", sys.executable, 1))
    program.chmod(0o755)
    (folder / "started").touch()
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
