"""check.sh's program with fake stages: `python check_with_fake_stages.py OPTIONS`.

FAKE_STAGES is JSON, a shell script for each stage; those without one succeed at once. The driver's library shows no
GPU, but PyTorch may know one, as far as can be told without it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"))
import check

SCRIPTS = json.loads(os.environ["FAKE_STAGES"])


def command_of(name: str, *_: object, cpu: bool) -> tuple[str, ...]:
    return ("sh", "-c", SCRIPTS.get(name, "exit 0"))


check.command_of = command_of
check.devices.gpus = lambda: []
check.devices.choose = lambda *_: ()
sys.exit(check.main())
