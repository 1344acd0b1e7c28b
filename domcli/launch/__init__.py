"""Queue, start, stop and resume trainers, which a launcher meets in the run directory and nowhere else."""

from __future__ import annotations

from domcli.launch.control import TRAINER, Placement, kill, request_stop, start, stop, wait_stopped
from domcli.launch.prepare import create_run, preflight
from domcli.launch.queue import (
    cancel,
    choose_devices,
    delete,
    enqueue,
    new_ticket,
    new_tickets,
    request_end,
    require_made,
    stalled,
    tickets,
    wake,
)
from domcli.launch.slots import forget
from domcli.naming import default_name
from domcli.sharing.choice import AUTO, Automatic
from domcli.sharing.choice import parse as parse_jobs

__all__ = [
    "AUTO",
    "TRAINER",
    "Automatic",
    "Placement",
    "cancel",
    "choose_devices",
    "create_run",
    "default_name",
    "delete",
    "enqueue",
    "forget",
    "kill",
    "new_ticket",
    "new_tickets",
    "parse_jobs",
    "preflight",
    "request_end",
    "request_stop",
    "require_made",
    "stalled",
    "start",
    "stop",
    "tickets",
    "wait_stopped",
    "wake",
]
