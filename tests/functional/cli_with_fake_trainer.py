"""The real command line in a process of its own, with the fake trainer in place of the real one.

python cli_with_fake_trainer.py SCENARIO ARGUMENTS...
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from domcli import launch
from domcli.cli.main import main

if __name__ == "__main__":
    command = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")), sys.argv.pop(1))
    launch.start = functools.partial(launch.start, command=command)
    launch.resume = functools.partial(launch.resume, command=command)
    main()
