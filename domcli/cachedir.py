"""Where this user's caches are: what may be deleted at any time, and is made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return `$XDG_CACHE_HOME/domcli`, by default `~/.cache/domcli`; it may not exist yet."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "domcli"


def compiled_directory() -> Path | None:
    """Return where compilers may keep their results from one run to the next, None if nothing can be written there.

    It may not exist yet.
    """
    folder = cache_directory() / "compiled"
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    return folder if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) else None
