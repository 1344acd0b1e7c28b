"""How domcli calls Python processes of its own: with its own modules, never with what lies in the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PATH = "PYTHONPATH"


def command(module: str) -> tuple[str, ...]:
    """Return the command that runs a module of domcli; with `environment`, no module of the current folder is found."""
    if sys.version_info >= (3, 11):
        return sys.executable, "-P", "-m", module
    # An older Python knows no safe path: the current folder stands first, and has to go before anything is imported.
    begin = f"import sys; sys.path.remove(''); import runpy; runpy.run_module({module!r}, None, '__main__', True)"
    return sys.executable, "-c", begin


def environment() -> dict[str, str]:
    """Return the environment variables for a process of domcli's own: unbuffered, with a safe import path.

    PYTHONPATH names the same folders as in this process, wherever the other begins. Where domcli lies in none that
    Python looks into by itself, because it was called as a module in its checkout, that folder is added.
    """
    given = [os.path.abspath(folder) for folder in os.environ.get(PATH, "").split(os.pathsep) if folder]  # noqa: PTH100
    home = str(Path(__file__).resolve().parents[1])
    here = ("", str(Path.cwd()), os.getcwd())  # noqa: PTH109
    if home not in map(os.path.realpath, [*given, *(folder for folder in sys.path if folder not in here)]):
        given.append(home)
    found = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    found.pop(PATH, None)
    return {**found, PATH: os.pathsep.join(given)} if given else found
