"""Plain steps: with DOMCLI_PLAIN=1 a run is computed one operation at a time, to compare, and to look for bugs.

It belongs to the run, which keeps what was asked for when it was created (see computation).
"""

from __future__ import annotations

import os

VARIABLE = "DOMCLI_PLAIN"


def asked_for() -> bool:
    """Tell whether this process is to do plain steps."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def as_decided(wanted: bool | None) -> None:
    """Have this process do as was asked for when the run was created, whatever its own environment says."""
    if wanted is not None:
        os.environ[VARIABLE] = "1" if wanted else ""
