"""NVIDIA's Multi-Process Service (MPS), by which processes compute on a GPU at the same time and not in turns.

A CUDA program connects to the service whose control daemon listens in `$CUDA_MPS_PIPE_DIRECTORY`, by default
/tmp/nvidia-mps; where none does, it computes without.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from domcli import children

PROGRAM = "nvidia-cuda-mps-control"
PIPE, LOG = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
USUAL_PIPE = Path("/tmp/nvidia-mps")
ASK_SECONDS = 5.0
READY = "ready"
"""What the keeper of a daemon says when it answers; anything else is why it does not."""
END_SECONDS = 30.0
"""To wait for the keeper, which waits for less."""


class MpsError(Exception):
    """The service cannot be used; the message says why."""


@dataclass(frozen=True)
class Service:
    """A service that programs with these environment variables connect to."""

    environment: Mapping[str, str]
    """In addition to those of this process."""
    logs: Path | None = None
    """Where it logs, if it is ours."""

    def servers(self) -> list[int]:
        """Return the processes that compute for programs which have connected."""
        answer = ask("get_server_list", {**os.environ, **self.environment}) or ""
        return [int(word) for word in answer.split() if word.isdecimal()]

    def last_words(self) -> str:
        """Return the end of its log in brackets, empty if there is none."""
        for name in ("server.log", "control.log"):
            with contextlib.suppress(OSError):
                lines = (self.logs / name).read_text(errors="replace").split("\n") if self.logs else []
                if words := [line.strip() for line in lines if line.strip()]:
                    return f" ({name}: {words[-1]})"
        return ""


def program() -> str | None:
    """Return the path of the program that controls the service, None if it is not installed."""
    return shutil.which(PROGRAM)


def answers(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a control daemon answers those who have this environment."""
    pipe = Path(environment.get(PIPE) or USUAL_PIPE)
    return (pipe / "control").exists() and ask("get_server_list", environment) is not None


def ask(command: str, environment: Mapping[str, str], seconds: float = ASK_SECONDS) -> str | None:
    """Return what the control daemon answers, None if there is none or it does not answer in time."""
    control = program()
    if control is None:
        return None
    try:
        done = subprocess.run(
            [control],
            input=f"{command}\n",
            env=dict(environment),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # Without a daemon some versions say so and end with 0.
    return None if done.returncode or "Cannot find" in done.stdout + done.stderr else done.stdout


@contextlib.contextmanager
def own_service() -> Iterator[Service]:
    """Start a service in a temporary folder, for those alone who get its environment; it ends with the block.

    A process in a session of its own keeps it, and ends it too when this process is killed. Raises MpsError.
    """
    keeper, folder = None, None
    try:
        folder, keeper = _keeper()
        assert keeper.stdout is not None
        said = keeper.stdout.readline().strip()
        if said != READY:
            raise MpsError(said or "the process that starts it ended")
        yield Service(service_environment(folder), folder / "log")
    finally:
        if keeper is not None and folder is not None:
            _dismiss(keeper)
            shutil.rmtree(folder, ignore_errors=True)


def _keeper() -> tuple[Path, subprocess.Popen[str]]:
    """Start the process that keeps a service, in a folder for it alone. Raises MpsError."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="domcli-mps-"))
        keeper = subprocess.Popen(
            [*children.command("domcli.sharing.keeper"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=children.environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise MpsError(str(error)) from error
    return folder, keeper


def service_environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of a service in a folder of its own."""
    return {PIPE: str(folder / "pipe"), LOG: str(folder / "log")}


def _dismiss(keeper: subprocess.Popen[str]) -> None:
    """Have the keeper end the service, and wait until it has."""
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    with contextlib.suppress(OSError):
        keeper.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        keeper.wait(END_SECONDS)
    keeper.stdout.close()
