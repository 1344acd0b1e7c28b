"""The real supervisor, impatient and with the fake trainer in place of the real one.

python supervisor_with_fake_trainer.py RUNS_DIRECTORY
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from domcli.launch import supervisor

if __name__ == "__main__":
    if Path(os.environ["FAKE_SCENARIO"]).read_text() == "no supervisor":
        sys.exit("it ends at once, as the scenario says")
    supervisor.RETRY_SECONDS = 0.2
    trainer = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")))
    sys.exit(supervisor.main(sys.argv[1:], trainer))
