"""The trainer process: the only package that imports torch. `python -m domcli.trainer RUN_DIRECTORY`."""

from __future__ import annotations

import os

from domcli.cachedir import code_directory
from domcli.devices import cpu_count

TORCH_ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Read by torch when it is loaded: large memory pages on CPU, reproducible matrix products on CUDA."""
COMPILERS = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
"""Where torch's compilers keep what they have compiled, which would be lost with /tmp; they make these folders."""
THREADS = "OMP_NUM_THREADS"
WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""How OpenMP's threads wait for each other, with GNU's and with LLVM's library: they look so many times, some 50
microseconds, or some milliseconds, then sleep. By default they look for up to 10 or 200 milliseconds, and keep a core
from the very thread that they wait for where other programs want cores, too (docs/speed.md)."""
WAITING_ALSO = ("OMP_WAIT_POLICY", "KMP_LIBRARY")
"""Other variables by which a user decides the same."""


def torch_environment() -> dict[str, str]:
    """Return the environment variables to set before torch is loaded: those that the user has not set.

    Threads are as many as the queue gives a run alone, which heeds what a container grants; torch would not.
    """
    kept = code_directory("compiled-code")
    folders = {} if kept is None else {variable: str(kept / name) for variable, name in COMPILERS.items()}
    waiting = {} if any(key in os.environ for key in (*WAITING, *WAITING_ALSO)) else WAITING
    wanted = {**TORCH_ENVIRONMENT, **folders, THREADS: str(cpu_count()), **waiting}
    return {key: value for key, value in wanted.items() if key not in os.environ}
