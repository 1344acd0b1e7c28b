"""Processes at work, as the operating system sees them."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from pathlib import Path

import psutil

from domcli import locks


def supervisors(folder: Path) -> list[psutil.Process]:
    """Return the processes that advance the queues of the runs directories in a folder."""
    found = []
    # os.walk passes over a folder that is gone: those of runs being created are renamed.
    for path in (Path(parent, name) for parent, _, names in os.walk(folder) for name in names):
        if not fnmatch.fnmatchcase(path.name, "supervisor-*.lock"):
            continue
        if locks.is_held(path) and path.read_text().strip():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(path.read_text())))
    return found
