"""A benchmark that measures nothing: it says that it measures, and ends when it is told.

    python fake_bench.py ARGUMENTS...

In the folder that $FAKE_BENCH names it makes `measuring`, and waits for `enough`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

REPORT = {"cases": [{"case": "natural", "problem": None, "domcli": {"seconds": 0.1}}], "complete": True}


def main() -> None:
    if "--check" in sys.argv:
        return
    folder = Path(os.environ["FAKE_BENCH"])
    (folder / "measuring").write_text(str(os.getpid()))
    while not (folder / "enough").exists():
        time.sleep(0.02)
    sys.stdout.write(json.dumps({"kind": "report", "report": REPORT}) + "\n")


if __name__ == "__main__":
    main()
