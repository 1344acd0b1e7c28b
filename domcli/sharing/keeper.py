"""The process that keeps an MPS daemon: `python -m domcli.sharing.keeper FOLDER`.

It starts the daemon, says on stdout whether it answers, and ends it when its stdin is closed. That happens in whatever
way the process that started it ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

from domcli.sharing import mps

START_SECONDS = 15.0
QUIT_SECONDS = 10.0
"""For the daemon to end when it is asked to; then it is killed."""
POLL_SECONDS = 0.1
VISIBLE = "CUDA_VISIBLE_DEVICES"


def main(folder: Path) -> None:
    """Keep a daemon in a folder as long as somebody holds the other end of stdin."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    environment = {**os.environ, **mps.service_environment(folder)}
    if not environment.get(VISIBLE, "").startswith(("GPU-", "MIG-")):
        # The daemon numbers anew what it sees, so the numbers that programs use hold only where it sees everything.
        environment.pop(VISIBLE, None)
    try:
        problem = _start(folder, environment)
        with contextlib.suppress(BrokenPipeError):
            print(problem or mps.READY, flush=True)  # noqa: T201
            if problem is None:
                sys.stdin.read()
    finally:
        _end(folder, environment)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, environment: dict[str, str]) -> str | None:
    """Start the daemon and return why it does not answer, None if it does."""
    control = mps.program()
    if control is None:
        return f"{mps.PROGRAM} is not found"
    for name in ("pipe", "log"):
        (folder / name).mkdir()
    said = folder / "said"
    try:
        with said.open("wb") as file:  # a daemon may keep its stdout open, so a pipe would never end
            done = subprocess.run(
                [control, "-d"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                timeout=START_SECONDS,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        return " ".join(str(error).split())
    deadline = time.monotonic() + START_SECONDS
    while not done.returncode and time.monotonic() < deadline:
        if mps.ask("get_server_list", environment) is not None:
            return None
        time.sleep(POLL_SECONDS)
    words = " ".join(said.read_text(errors="replace").split())
    ended = f"ended with exit code {done.returncode}" if done.returncode else "does not answer"
    return f"{mps.PROGRAM} -d {ended}" + (f": {words}" if words else "")


def _end(folder: Path, environment: dict[str, str]) -> None:
    """Ask the daemon to quit; if it does not, kill it with its servers."""
    family = _family(folder)
    mps.ask("quit", environment, QUIT_SECONDS)
    _, left = psutil.wait_procs(family, timeout=QUIT_SECONDS)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _family(folder: Path) -> list[psutil.Process]:
    """Return the daemon, which writes its process id into its folder, and its servers."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        daemon = psutil.Process(int((folder / "pipe" / f"{mps.PROGRAM}.pid").read_text()))
        if daemon.name().startswith(mps.PROGRAM[:15]):  # the kernel keeps so much of a name
            return [daemon, *daemon.children(recursive=True)]
    return []


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
