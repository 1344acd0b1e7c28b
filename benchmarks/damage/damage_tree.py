"""A runs directory with two healthy runs and one that is to be damaged, in any state, with every file of a run."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np

from domcli import evaluations, presets, rundir
from domcli.devices import CPU
from domcli.evaluations import Batch, Evaluation, Plan
from domcli.events import (
    AnyEvent,
    CheckpointSaved,
    EpochEnd,
    Failed,
    Finished,
    Memorization,
    Progress,
    Started,
    TestMetrics,
    TrainMetrics,
    encode,
)
from domcli.exchange.imports import read_runs, write_runs
from domcli.process import ProcessIdentity
from domcli.rundir import RunDirectory
from domcli.runs import Run
from domcli.ticket import Ticket

State = Literal["finished", "failed", "lost", "left", "queued"]
"""`left` is lost with its ticket still there, as after the machine went down."""
STATES: tuple[State, ...] = get_args(State)

HEALTHY = ("good-seed0", "good-seed1")
BAD = "bad-seed0"
NOBODY = 2**22 + 1
"""A pid that no process has."""
EPOCHS, PATTERNS = 3, 24
LABELS: tuple[Literal["best", "last"], ...] = ("best", "last")
OFFICIAL_LOG = """\
[2024/03/05 07:00:09] - Namespace(model='PreActResNet18', batch_size=128, batch_size_test=128, \
data_dir='../cifar-data', epochs=2, lr_schedule='piecewise', lr_max=0.1, attack='pgd', restarts=1, epsilon=8, \
pgd_alpha=2, pgd_step_train=10, pgd_step_test=20, fgsm_alpha=10, norm='l_inf', fname='PGD_DOM_RE', seed=0, \
width_factor=10, resume=0, eval=False, chkpt_iters=1000, clamp=1.5, operate='RE', max_arg_iteration=0, \
arg_strength=0.0)
[2024/03/05 07:00:09] - V1.0.3
[2024/03/05 07:00:09] - Epoch \t Train Time \t\t Test Time \t LR \t\t Train NA Loss \t Train NA Acc \
\t Train RO Loss \t Train RO Acc  \t Test NA Loss \t Test NA Acc  \t Test RO Loss \t Test RO Acc
[2024/03/05 07:01:09] - 0 \t 7.4 \t \t 11.8 \t \t 0.1000 \t 2.3038 \t 0.1050 \
\t 2.3166 \t 0.0870 \t 2.3026 \t 0.2120 \t 2.3171 \t 0.1760
[2024/03/05 07:02:09] - 1 \t 7.4 \t \t 11.8 \t \t 0.0010 \t 2.2038 \t 0.2050 \
\t 2.2166 \t 0.1870 \t 2.2026 \t 0.3120 \t 2.2171 \t 0.2760
"""
"""Two epochs of the official implementation."""


def make(folder: Path, state: State) -> Path:
    """Make the runs directory FOLDER/runs, in which the run that is to be damaged is in a state; return that run."""
    runs = folder / "runs"
    for name in (*HEALTHY, BAD):
        _make_run(runs, name, state if name == BAD else "finished", seed=int(name[-1]))
    return runs / BAD


def anew(folder: Path, kept: Path) -> Path:
    """Put the bad run of `kept` (see `make`) in place of what has become of it in another folder, and return it.

    The healthy ones stand as they are. Tickets and processes name the run's own folder, which a copy is not.
    """
    if not (folder / "runs").exists():
        shutil.copytree(kept / "runs", folder / "runs")
    bad = RunDirectory(folder / "runs" / BAD)
    shutil.rmtree(bad.path, ignore_errors=True)
    shutil.copytree(kept / "runs" / BAD, bad.path)
    for path in (bad.ticket, bad.process):
        if path.exists():
            found = json.loads(path.read_bytes())
            path.write_text(json.dumps({**found, "directory": bad.path.stat().st_ino}))
    return bad.path


def files_of(run: Path) -> list[str]:
    """Return every file and folder of a run by its path in it."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*"))


def import_official(log: Path, runs: Path) -> list[RunDirectory]:
    """Make a log of the official implementation a run."""
    return write_runs(read_runs([log], runs), runs)


def settings_of(seed: int) -> dict[str, Any]:
    """Return all settings of a run, each key there."""
    changes = ["train_images=100", "test_images=20", "mean=[0.5]", "std=[0.5]"]
    return presets.resolve(
        "pgd-dom-re",
        ["data.dataset=digits", *(f"data.{change}" for change in changes), f"train.epochs={EPOCHS}",
         f"train.seed={seed}", "dom.warmup=0.4", "memorization.record=true"],
    ).to_dict()  # fmt: skip


def environment_of() -> dict[str, Any]:
    """Return an environment.json in which every entry is that a trainer writes."""
    words = ("hostname", "platform", "python", "domcli", "torch", "torchvision", "git_commit", "device", "device_name")
    return {
        **dict.fromkeys((*words, "precision", "network", "kernels", "steps"), "as it was"),
        "preset": "pgd-dom-re", "quick": False, "plain": False, "threads": 1, "created": 1e9,
        "command_line": "domcli run pgd-dom-re", "no_graphs": "a reason", "not_compiled": "a reason",
        "startup": {"seconds": {"total": 3.0, "imports": 1.0}}, "import_remarks": ["a remark"],
        "official_version": "V1.0.3",
        "origin": {
            "command": ["domcli", "run", "pgd-dom-re"], "presets": ["pgd-dom-re"], "preset": "pgd-dom-re",
            "overrides": ["train.epochs=3"], "quick": False, "seeds": [0, 1], "name": None, "runs_dir": None,
        },
    }  # fmt: skip


def events_of(state: State) -> list[AnyEvent]:
    """Return the stream of a run in a state, with every kind of event that there is."""
    started = Started(
        settings_digest="0" * 16, device="cpu", device_name="CPU", precision="float32", train_size=PATTERNS,
        test_size=20, classes=10, image_shape=(1, 8, 8), parameters=1000, epochs=EPOCHS, steps_per_epoch=4,
    )  # fmt: skip
    events: list[AnyEvent] = [started]
    for number in range(1, EPOCHS + 1 if state == "finished" else EPOCHS):
        progress = Progress(
            phase="train", epoch=number, step=2, steps=4, images_per_second=10.0, lr=0.1, natural_loss=1.0,
            robust_loss=2.0, seen=8, high_confidence=2, removed=1, augmented=0,
        )  # fmt: skip
        events += [progress, _epoch(number)]
        events += [
            CheckpointSaved(label=label, path=f"checkpoints/{label}.safetensors", epoch=number) for label in LABELS
        ]
    if state == "finished":
        events.append(Finished(seconds=12.5))
    elif state == "failed":
        events.append(Failed(cause="error", reason="a reason"))
    return [msgspec.structs.replace(event, seq=seq, time=1e9 + seq) for seq, event in enumerate(events)]


def plan_of(run: RunDirectory) -> Plan:
    """Return the plan of an evaluation of the run's best checkpoint, such as `domcli evaluate` makes."""
    settings = presets.from_run(run)
    return evaluations.make_plan(run, settings, checkpoint="best")


def write_checkpoint(path: Path, about: object) -> None:
    """Write a file as a checkpoint begins, which is as far as anybody reads who does not compute."""
    header = {
        "__metadata__": {"domcli": json.dumps(about)},
        "weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))


def about_of(run: RunDirectory, epoch: int = EPOCHS) -> dict[str, Any]:
    """Return what stands beside a checkpoint's weights."""
    settings = presets.from_run(run)
    return {
        "schema": 1, "settings": f"{settings.digest()}-seed{settings.train.seed}", "epoch": epoch, "step": 0,
        "best": 0.5, "seconds": 12.5, "epoch_seconds": 0.0,
    }  # fmt: skip


def _make_run(runs: Path, name: str, state: State, seed: int) -> None:
    run = rundir.create(runs, name, settings_of(seed), environment_of())
    for label in LABELS:
        write_checkpoint(run.checkpoint(label), about_of(run))
    np.save(run.memorization, np.ones((EPOCHS, PATTERNS), dtype=np.float16))
    run.log.write_text("a line of the trainer\n" * 3)
    run.lock.touch()
    run.events.write_bytes(b"".join(map(encode, events_of(state))))
    _write_brief(run)
    _evaluate(run)
    run.write_process(_nobody("ticket" if state == "left" else "earlier"))
    if state in ("queued", "left"):
        run.write_ticket(ticket_of())


def ticket_of() -> Ticket:
    """Return a ticket of this user on this machine."""
    return Ticket(
        id="ticket", queued=1e9, host=socket.gethostname(), owner=os.geteuid(), folder=str(Path.cwd()), devices=(CPU,),
        threads=1, max_retries=1,
    )  # fmt: skip


def _nobody(ticket: str) -> ProcessIdentity:
    return ProcessIdentity(
        pid=NOBODY, start_time=1e9, host=socket.gethostname(), cwd="/", launched=1.0, first_event=0, device="cpu",
        ticket=ticket, birth="none", exit_code=1,
    )  # fmt: skip


def _write_brief(run: RunDirectory) -> None:
    from domcli.brief import Brief, basis_of
    from domcli.runs import read_run

    found: Run = read_run(run)
    size = run.events.stat().st_size
    brief = Brief(
        offset=size,
        basis=basis_of(run, size),
        lines=run.events.read_bytes().count(b"\n"),
        state=found.state.condensed(),
        findings=found.findings,
        settings=found.settings,
        preset=found.preset,
    )
    run.brief.write_bytes(msgspec.json.encode(brief))


def _evaluate(run: RunDirectory) -> None:
    plan = plan_of(run)
    folder = evaluations.prepare(run, plan)
    evaluations.write_result(
        folder,
        Evaluation(
            plan=plan, accuracy=0.4, natural_accuracy=0.8, stages={"natural": 0.8, "pgd": 0.4}, images=20,
            test_images=20, seconds=3.0, date=1e9, device="cpu", device_name="CPU", versions={"torch": "2"},
        ),
    )  # fmt: skip
    batch = Batch("natural", [0, 1], [True, False], 1.0)
    (folder / "images.jsonl").write_bytes(msgspec.json.encode(batch) + b"\n")


def _epoch(number: int) -> EpochEnd:
    test = TestMetrics(
        natural_loss=1.0, natural_accuracy=0.8, pgd_loss=1.5, pgd_accuracy=0.4 + number / 100, one_step_loss=1.2,
        one_step_accuracy=0.5,
    )  # fmt: skip
    return EpochEnd(
        epoch=number, lr=0.1,
        train=TrainMetrics(natural_loss=1.0, natural_accuracy=0.5, robust_loss=2.0, robust_accuracy=0.3),
        test=test, train_attack=test,
        memorization=Memorization(
            threshold=1.5, high_confidence=6, original=3, transformed=1, entered=1, left=0, removed=1, augmented=0,
            histogram=(1, 2, 3, 4, 4, 10), overlap=0.5,
        ),
        best=True, train_seconds=3.0, test_seconds=1.0, images_per_second=100.0, memory=1 << 20,
    )  # fmt: skip
