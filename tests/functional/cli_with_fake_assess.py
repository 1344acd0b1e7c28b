"""The real command line in a process of its own, with the fake process in place of the one that attacks.

python cli_with_fake_assess.py ARGUMENTS...
"""

from __future__ import annotations

import sys
from pathlib import Path

from domcli.cli import evaluating
from domcli.cli.main import main

if __name__ == "__main__":
    evaluating.PROCESS = (sys.executable, str(Path(__file__).with_name("fake_assess.py")))
    main()
