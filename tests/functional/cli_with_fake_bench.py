"""The real command line in a process of its own, with the fake process in place of the one that measures.

python cli_with_fake_bench.py ARGUMENTS...
"""

from __future__ import annotations

import sys
from pathlib import Path

from domcli.cli import benching
from domcli.cli.main import main

if __name__ == "__main__":
    benching.PROCESS = (sys.executable, str(Path(__file__).with_name("fake_bench.py")))
    main()
