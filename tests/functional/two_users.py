"""Commands as other users of this machine, for tests that root runs.

They may read everything, as the interpreter often lies in a folder that is root's alone; writing is up to the modes.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

GROUP = 54_320
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, AMBIENT_RAISE = 8, 47, 2
DAC_READ_SEARCH = 2
CAPABILITY_VERSION = 0x20080522


class Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(uid: int, umask: int) -> None:
    """Turn this process into one of another user, of the group, who may read whatever there is."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([GROUP])
    os.setgid(GROUP)
    os.setuid(uid)
    os.umask(umask)
    bit = 1 << DAC_READ_SEARCH
    header, data = Header(CAPABILITY_VERSION, 0), (Data * 2)(Data(bit, bit, bit), Data(0, 0, 0))
    if libc.capset(ctypes.byref(header), data) or libc.prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, DAC_READ_SEARCH, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot keep the right to read")


class User:
    """Somebody with a home, who works in the runs directory that the group shares."""

    def __init__(self, top: Path, name: str, uid: int) -> None:
        self.name, self.uid = f"user {uid}", uid
        self.home = top / name
        self.home.mkdir()
        os.chown(self.home, uid, GROUP)
        self.runs = top / "runs"

    def calls(
        self, *command: str, umask: int = 0o002, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run any command as this user, in their home."""
        return subprocess.run(
            command,
            cwd=cwd or self.home,
            env={**os.environ, "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache"), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            preexec_fn=lambda: become(self.uid, umask),
            timeout=120,
            check=False,
        )

    def does(self, action: Callable[[], object], umask: int = 0o002) -> None:
        """Do something with files as this user, in a process of its own."""
        child = os.fork()
        if child == 0:
            try:
                become(self.uid, umask)
                action()
            except BaseException as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def people() -> Iterator[tuple[User, User]]:
    """Two users of one group, and a runs directory that the group shares (2775)."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two other users")
    top = Path(tempfile.mkdtemp(prefix="two-users-"))
    try:
        top.chmod(0o755)
        (top / "runs").mkdir()
        os.chown(top / "runs", 0, GROUP)
        (top / "runs").chmod(0o2775)
        yield User(top, "alice", 54_321), User(top, "bob", 54_322)
    finally:
        shutil.rmtree(top, ignore_errors=True)
