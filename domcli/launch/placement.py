"""Where and how a trainer is started, whatever starts it, and how that is noted in the run."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from domcli import children, files, process
from domcli.devices import CPU, VISIBLE, Device
from domcli.launchers import LOCAL
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory


@dataclass(frozen=True)
class Placement:
    """Where and how a trainer is started. `folder` is where it runs and relative data paths begin."""

    device: Device = CPU
    wanted: str = "auto"
    folder: Path | None = None
    threads: int | None = None
    ticket: str = ""
    launcher: str = LOCAL
    """What starts it, by name."""
    slot: int | None = None
    """Descriptor of the slot's lock, which the trainer keeps."""

    def arguments(self) -> list[str]:
        """Return the trainer's options: it sees the one GPU it is given, and is told what that is called outside."""
        if self.device.visible is None:
            name = "auto" if self.device == CPU and self.wanted == "auto" else self.device.name
            return ["--device", name]
        return ["--device", "auto" if self.wanted == "auto" else "cuda", "--shown-as", self.device.name]

    def environment(self) -> dict[str, str]:
        """Return the trainer's environment variables: this process's, its device and its threads."""
        environment = children.environment()
        if self.device.visible is not None:
            environment[VISIBLE] = self.device.visible
        if self.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.threads)
        return environment


def note_trainer(run: RunDirectory, placement: Placement, pid: int, launched: float, first_event: int) -> None:
    """Write in process.json which process of this machine was started for a run, and for which ticket.

    `launched` is when, in seconds since 1970; `first_event` the number of the first event that will be its own. Raises
    OSError if nothing can be written.
    """
    here = process.identify(pid)
    run.write_process(
        ProcessIdentity(
            pid=pid,
            start_time=here.start_time if here else launched,
            host=socket.gethostname(),
            cwd=files.path_as_text(placement.folder or Path.cwd()),
            launched=launched,
            first_event=first_event,
            ticket=placement.ticket,
            launcher=placement.launcher,
            device=placement.device.name,
            birth=here.birth if here else "",
        )
    )
