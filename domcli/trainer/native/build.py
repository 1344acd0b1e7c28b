"""Building the kernels with the machine's C++ compiler, once for each version of them; kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from domcli import files, owners
from domcli.cachedir import cache_directory, code_directory
from domcli.devices import cpu_field

SOURCES = ("convolution.cpp", "normalisation.cpp")
HEADERS = ("common.h",)
FLAGS = (
    *("-w", "-O3", "-std=c++17", "-fPIC", "-shared", "-fopenmp"),
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mamx-tile", "-mamx-bf16"),
)
NEEDED = ("avx512bw", "avx512vl", "avx512dq", "avx512_bf16", "amx_tile", "amx_bf16")
"""Features of the CPU, as Linux calls them."""
COMPILERS = ("g++", "c++", "clang++")
BUILD_SECONDS = 120
ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18


class Unavailable(Exception):
    """The kernels cannot be used; says why."""


def load() -> ctypes.CDLL:
    """Return the library of the kernels, built if it is not there yet. Raises Unavailable."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable("not Linux on x86-64")
    features = cpu_field("flags").split()
    if missing := [feature for feature in NEEDED if feature not in features]:
        raise Unavailable(f"the CPU has no {missing[0]}")
    _permit_tiles()
    try:
        return _loaded(_built())
    except OSError as error:
        raise Unavailable(f"the kernels cannot be built or loaded: {error}") from error


def _loaded(library: Path) -> ctypes.CDLL:
    """Load the very file that was looked at, whatever comes to lie in its place."""
    with files.open_bytes(library, through_links=False) as file:
        found = os.fstat(file.fileno())
        if not (owners.is_own(found, library.parent) and owners.is_guarded(found, library.parent)):
            raise Unavailable(f"{library} belongs to another user, or others may write to it: delete it")
        return ctypes.CDLL(f"/proc/self/fd/{file.fileno()}")


def _permit_tiles() -> None:
    # Linux gives a process the state of the tiles only when it is asked for.
    if ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA) != 0:
        raise Unavailable("Linux does not permit AMX here")


def _built() -> Path:
    here = Path(__file__).parent
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        raise Unavailable("no C++ compiler (g++ or clang++) on this machine")
    digest = hashlib.sha256(" ".join((compiler, *FLAGS)).encode())
    for name in (*SOURCES, *HEADERS):
        digest.update((here / name).read_bytes())
    directory = code_directory("kernels")
    if directory is None:
        raise Unavailable(f"{cache_directory() / 'kernels'} is not in folders that this user alone may write to")
    library = directory / f"domcli-{digest.hexdigest()[:16]}.so"
    if not owners.is_private(library):
        handle, aside = tempfile.mkstemp(dir=directory, suffix=".so")
        os.close(handle)
        try:
            _compile(compiler, [str(here / name) for name in SOURCES], aside)
            Path(aside).chmod(0o700)  # linkers make the file anew, by the umask
            Path(aside).replace(library)
        finally:
            Path(aside).unlink(missing_ok=True)
    return library


def _compile(compiler: str, sources: list[str], target: str) -> None:
    try:
        done = subprocess.run(
            [compiler, *FLAGS, *sources, "-o", target],
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{compiler} took more than {BUILD_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        raise Unavailable(f"{compiler} failed: {(lines or ['no reason given'])[0].strip()}")
