"""The process that measures: `python -m domcli.trainer.bench [--device ...] [--only CASE...] [--quick] [--check]`.

Progress, the report as far as it goes, and the reason of a refusal go to stdout as JSON lines; every report contains
the one before, so the last one stands whenever the process is ended.

Exit codes: 0 finished, 2 refused, 3 stopped when asked, or since nobody listens any more.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from domcli.errors import DomcliError
from domcli.printable import log_to_stderr
from domcli.trainer.bench.cases import Options, check
from domcli.trainer.bench.runner import Runner
from domcli.trainer.bench.together import TogetherRunner
from domcli.trainer.stop import StopFlag, StopRequested

FINISHED, REFUSED, STOPPED = 0, 2, 3


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m domcli.trainer.bench", description="Time the training step.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--shown-as", help="what the GPU is called where it is not the only one")
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--together", action="store_true", help="time trainers that train at the same time")
    parser.add_argument("--trainers", nargs="+", type=int, default=[], metavar="N")
    parser.add_argument("--check", action="store_true", help="refuse what cannot be measured, and measure nothing")
    chosen = parser.parse_args(arguments)
    options = Options(
        device=chosen.device,
        only=tuple(chosen.only),
        quick=chosen.quick,
        width=chosen.width,
        batch_size=chosen.batch_size,
        pairs=chosen.pairs,
        trainers=tuple(chosen.trainers),
    )
    log_to_stderr()
    stop = StopFlag()
    stop.install()
    try:
        with stop.at_once():
            check(options, together=chosen.together)
            if chosen.check:
                return FINISHED
            runner = TogetherRunner if chosen.together else Runner
            runner(options, chosen.shown_as, _tell).run()
    except (StopRequested, BrokenPipeError):
        return STOPPED
    except DomcliError as error:
        _tell({"kind": "refusal", "reason": str(error)})
        return REFUSED
    return FINISHED


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, allow_nan=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    code = main()
    os._exit(code)  # a stdout that nobody reads any more would be complained of
