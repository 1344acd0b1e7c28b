"""Listen to a process that reports on its stdout until it says no more; Ctrl-C stops it, a second one kills it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Callable

from domcli.cli.follow import Interrupts

POLL_SECONDS = 0.2
CHUNK = 1 << 16


def listen(
    process: subprocess.Popen[bytes],
    interrupts: Interrupts,
    take: Callable[[bytes], None],
    tell: Callable[[str], None],
) -> None:
    """Hand each line of the process to `take` until it closes its stdout, and pass interrupts on, which `tell` is told.

    The process leads a session of its own (start_new_session): Ctrl-C comes to it through here alone.
    """
    rest, handled = b"", 0
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector, process.stdout as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            # Read once: the next may come while this one is passed on.
            count = interrupts.count
            if count > handled:
                end(process, kill=count > 1)
                tell("killing it" if count > 1 else "stopping; press Ctrl-C again to kill it")
                handled = count
            if not selector.select(POLL_SECONDS):
                continue
            chunk = os.read(pipe.fileno(), CHUNK)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                take(line)


def end(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    """Ask the process to stop, or kill it with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        if kill:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.send_signal(signal.SIGTERM)
