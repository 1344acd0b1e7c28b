"""What starts trainers and ends them, by name: each a module with the functions of launch.launcher.Launcher."""

from __future__ import annotations

from importlib import import_module
from typing import Any

LOCAL = "local"
"""The launcher of processes of this machine."""
LAUNCHERS: dict[str, Any] = {
    LOCAL: "domcli.launch.local",
}
"""The modules by the names of their launchers, imported when one is asked for; or what else has the functions."""


def find(name: str) -> Any:
    """Return the launcher of a name; None if there is none here."""
    found = LAUNCHERS.get(name)
    return import_module(found) if isinstance(found, str) else found
