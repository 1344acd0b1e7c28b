"""A benchmark that measures nothing: it says that it measures, and ends when it is told.

    python fake_bench.py ARGUMENTS...

In the folder that $FAKE_BENCH names it makes `measuring`, and waits for `enough`. With $FAKE_BENCH_STUBBORN it cannot
be asked to end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

REPORT = {"cases": [{"case": "natural", "problem": None, "domcli": {"seconds": 0.1}}], "complete": True}


def main() -> None:
    if "--check" in sys.argv:
        return
    if "FAKE_BENCH_STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder = Path(os.environ["FAKE_BENCH"])
    (folder / "measuring").write_text(str(os.getpid()))
    while not (folder / "enough").exists():
        time.sleep(0.02)
    sys.stdout.write(json.dumps({"kind": "report", "report": REPORT}) + "\n")


if __name__ == "__main__":
    main()
