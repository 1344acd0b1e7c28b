"""How a run computes, decided at its first start and kept: a resumed run that computed otherwise would round otherwise.

The decision is `computation.json` in the run directory. Runs from before there was such a file have told it in
environment.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from domcli import files
from domcli.errors import RunDirectoryError
from domcli.rundir import UNREADABLE, RunDirectory

COMPILED: Final = "compiled"
WRITTEN: Final = "as written"
"""How a GPU computes the network."""
OWN: Final = "domcli"
PYTORCH: Final = "PyTorch"
"""Whose kernels a CPU computes with."""


MOST_THREADS = 1_000_000
Network = Literal["compiled", "as written"]
Kernels = Literal["domcli", "PyTorch"]


class Computation(msgspec.Struct, frozen=True, kw_only=True):
    """How a run computes; None where there is nothing to decide on its device, or where it is not known."""

    plain: bool | None = None
    """Whether it does one operation after the other, and nothing is computed faster than as it is written."""
    graphs: bool | None = None
    """Whether its steps are recorded as CUDA graphs."""
    network: Network | None = None
    """COMPILED or WRITTEN, on a GPU."""
    kernels: Kernels | None = None
    """OWN or PYTORCH, on a CPU."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=MOST_THREADS)] | None = None
    """CPU threads."""


def read(run: RunDirectory) -> Computation:
    """Return how a run has computed so far; everything None where it has not begun.

    Raises RunDirectoryError if the file is damaged.
    """
    try:
        content = files.read_bytes(run.computation)
    except FileNotFoundError:
        return _of_environment(run.read_environment())
    except OSError as error:
        raise RunDirectoryError(f"cannot read {run.computation}: {error.strerror}") from error
    try:
        return msgspec.json.decode(content, type=Computation)
    except UNREADABLE as error:
        raise RunDirectoryError(
            f"{run.computation} is damaged ({error}); without it the run goes on as is fastest here now, and rounds "
            "as that does: remove the file"
        ) from error


def keep(run: RunDirectory, known: Computation, now: Computation) -> Computation:
    """Keep how a run computes now, and what was decided for another device; return both. Raises OSError."""
    decided = {key: value for key, value in msgspec.structs.asdict(now).items() if value is not None}
    merged = msgspec.structs.replace(known, **decided)
    if merged != known or not files.exists(run.computation):
        text = msgspec.json.format(msgspec.json.encode(merged), indent=1).decode()
        files.replace_text(run.computation, text + "\n")
    return merged


def _of_environment(told: Mapping[str, Any]) -> Computation:
    """Return what environment.json of an older run tells."""
    network, kernels, threads = told.get("network"), told.get("kernels"), told.get("threads")
    steps, plain = told.get("steps"), told.get("plain")
    return Computation(
        plain=plain if isinstance(plain, bool) else None,
        graphs=True if steps == "CUDA graphs" else None,
        network=COMPILED if network == COMPILED else WRITTEN if network == WRITTEN else None,
        kernels=(OWN if kernels == OWN else PYTORCH) if isinstance(kernels, str) else None,
        threads=threads if isinstance(threads, int) and 0 < threads <= MOST_THREADS else None,
    )
