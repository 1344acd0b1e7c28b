"""The real command line in a process of its own, with the fake trainer in place of the real one.

python cli_with_fake_trainer.py ARGUMENTS...
"""

from __future__ import annotations

import sys
from pathlib import Path

from domcli.cli.main import main
from domcli.launch import queue

if __name__ == "__main__":
    queue.SUPERVISOR = (sys.executable, str(Path(__file__).with_name("supervisor_with_fake_trainer.py")))
    main()
