"""A process that attacks nothing: it says and keeps what a scenario has it, at once and without torch.

    python fake_assess.py EVALUATION_FOLDER --device DEVICE ...

The scenario stands in $FAKE_ASSESS. finish: a result; refuse: a reason; fail: a reason, and a traceback on stderr;
die: is killed in the middle; wait: says how far it is, then waits to be stopped; stubborn: the same, but cannot be
asked.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from domcli import evaluations
from domcli.evaluations import Evaluation, Progress, Refusal, Said

folder, device, scenario = Path(sys.argv[1]), sys.argv[3], os.environ["FAKE_ASSESS"]


def say(said: Said) -> None:
    sys.stdout.buffer.write(evaluations.encode(said))
    sys.stdout.buffer.flush()


def progress(stage: str, done: int, correct: int) -> Progress:
    return Progress(stage=stage, done=done, images=10, correct=correct, total=10, fraction=done / 10, remaining=65.0)


sys.stdout.buffer.write(b"a library has something to say\n")
if scenario == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if scenario == "refuse":
    say(Refusal("the data set is gone"))
    sys.exit(2)
say(progress("natural", 10, 8))
if scenario == "fail":
    sys.stderr.write("Traceback: the details\n")
    say(Refusal("ValueError: what now"))
    sys.exit(1)
if scenario == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if scenario in ("wait", "stubborn"):
    say(progress("pgd", 3, 7))
    Path("waiting").touch()
    time.sleep(600)
plan = evaluations.read_plan(folder)
autoattack = plan.attack == "autoattack"
stages = {"natural": 0.8, "apgd-ce": 0.5, "square": 0.4} if autoattack else {"natural": 0.8, "pgd": 0.4}
result = Evaluation(
    plan=plan,
    accuracy=0.4,
    natural_accuracy=0.8,
    stages=stages,
    images=plan.images or 10,
    test_images=10,
    seconds=65.0,
    date=1e9,
    device=device,
    device_name="a machine",
    versions={"torch": "2"},
)
evaluations.write_result(folder, result)
say(progress("pgd", 10, 4))
