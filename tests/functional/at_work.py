"""Processes at work, as the operating system sees them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from domcli.launch import locks


def supervisors(folder: Path) -> list[psutil.Process]:
    """Return the processes that advance the queues of the runs directories in a folder."""
    found = []
    for path in folder.rglob("supervisor-*.lock"):
        if locks.is_held(path) and path.read_text().strip():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(path.read_text())))
    return found
