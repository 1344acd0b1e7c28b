"""Where this user's caches are: what may be deleted at any time, and is made again."""

from __future__ import annotations

import os
from pathlib import Path

from domcli import owners


def cache_directory() -> Path:
    """Return `$XDG_CACHE_HOME/domcli`, by default `~/.cache/domcli`; it may not exist yet."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "domcli"


def code_directory(name: str) -> Path | None:
    """Return a folder for code that is compiled once and executed in later runs, made if it is not there.

    It is the user's alone: None if it is not, or cannot be made.
    """
    base = cache_directory()
    folder = base / name
    try:
        base.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for one in (base, folder):
            one.mkdir(exist_ok=True, mode=0o700)
    except OSError:
        return None
    private = owners.is_private(base) and owners.is_private(folder)
    return folder if private and os.access(folder, os.W_OK | os.X_OK) else None
