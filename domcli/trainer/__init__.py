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
SPINS, WAIT_POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
"""Either decides how the threads of GNU's OpenMP, which PyTorch's wheels come with, wait for each other."""
SHORT_WAIT = "1000"
"""A thread looks so many times, for some 20 microseconds, then sleeps. By default it looks for some 6 milliseconds, and
keeps a core from the very thread that it waits for where other programs want cores, too (docs/speed.md)."""


def torch_environment() -> dict[str, str]:
    """Return the environment variables to set before torch is loaded: those that the user has not set.

    Threads are as many as the queue gives a run alone, which heeds what a container grants; torch would not.
    """
    kept = code_directory("compiled-code")
    folders = {} if kept is None else {variable: str(kept / name) for variable, name in COMPILERS.items()}
    waiting = {} if WAIT_POLICY in os.environ else {SPINS: SHORT_WAIT}
    wanted = {**TORCH_ENVIRONMENT, **folders, THREADS: str(cpu_count()), **waiting}
    return {key: value for key, value in wanted.items() if key not in os.environ}
