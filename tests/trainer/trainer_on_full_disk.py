"""The real trainer on a disk that is full as long as the run's reserve is there.

    python trainer_on_full_disk.py FLAG RUN_DIRECTORY ...

Nothing can be written to the stream once the file FLAG exists, until the reserve has been given up.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from domcli.trainer.__main__ import main

write = os.write


def write_if_there_is_room(handle: int, content: bytes) -> int:
    target = Path(f"/proc/self/fd/{handle}").readlink()
    if target.name == "events.jsonl" and flag.exists() and (target.parent / ".reserve").exists():
        # Some of it still fits, as on a real disk.
        if len(content) > 20:
            return write(handle, content[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return write(handle, content)


if __name__ == "__main__":
    flag = Path(sys.argv[1])
    os.write = write_if_there_is_room
    sys.exit(main(sys.argv[2:]))
