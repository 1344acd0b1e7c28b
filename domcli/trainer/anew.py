"""Starting a trainer anew where its process cannot go on: in the same process id, with its locks, without graphs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from domcli.trainer.stop import StopFlag

OPTION = "--without-graphs"
"""The option of a trainer that records nothing; its value says why."""


class BrokenRecording(Exception):
    """A recording of a CUDA graph broke off and left the process unfit to go on; the message says why it broke off."""


def start_anew(why: str, kept: Collection[int], stop: StopFlag) -> NoReturn:
    """Replace this process by a trainer of the same run that does not record, and say `why`.

    Everything must be written and closed by now; the run goes on from its last checkpoint. The descriptors `kept` stay
    open, so the locks stay held. A request to stop is not lost: it waits until the new trainer can heed it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    if stop.reason is not None:
        os.kill(os.getpid(), signal.SIGTERM)
    for handle in kept:
        os.set_inheritable(handle, True)
    for handle in _of_drivers():
        os.set_inheritable(handle, False)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], OPTION, why])


def _of_drivers() -> list[int]:
    """Return the descriptors of devices, so that memory on them is given back."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one with which this list is read is gone by now
            if str(link.readlink()).startswith("/dev/nvidia"):
                found.append(int(link.name))
    return found
