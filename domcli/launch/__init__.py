"""Start, stop and resume trainers, which a launcher meets in the run directory and nowhere else."""

from __future__ import annotations

from domcli.launch.control import TRAINER, kill, request_stop, resume, start, stop, wait_stopped
from domcli.launch.prepare import create_run, default_name, preflight

__all__ = [
    "TRAINER",
    "create_run",
    "default_name",
    "kill",
    "preflight",
    "request_stop",
    "resume",
    "start",
    "stop",
    "wait_stopped",
]
