"""The stages of the check, the most important first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from check_outcome import Stage
from check_run import told_at

HERE = Path(__file__).resolve().parent

STAGES = (
    Stage(
        "device",
        60,
        (),
        "PyTorch and the driver see the same GPU; a first start measures, records and trains",
        "run `nvidia-smi` and `python -m domcli doctor`; nothing else counts before the driver and PyTorch's CUDA fit",
        alone=True,
        decides=True,
    ),
    Stage(
        "tests",
        180,
        (),
        "the tests that need a GPU",
        "read its part of log.txt, then run the failing test alone with pytest -n 0",
    ),
    Stage(
        "runs",
        150,
        (),
        "`domcli run --quick` of the nine DOM presets: finished, with CUDA graphs, DOM after the warm-up only",
        "log.txt has the ends of the trainers' logs; if `no_graphs` is told, its reason says which operation to mend",
    ),
    Stage(
        "repeat",
        120,
        (),
        "the same seed gives the same bits; a stopped and resumed run equals an undisturbed one",
        "look for an operation that is not deterministic, or for state that no checkpoint holds",
    ),
    Stage(
        "equal",
        120,
        (),
        "float32 losses of 50 steps, CUDA graphs against one operation at a time",
        "compare the first step that differs; a difference in launching alone is a fault of the recording",
    ),
    Stage(
        "learn",
        180,
        (),
        "real training: natural, FGSM and PGD with DOM_RE learn what they should in a few epochs",
        "compare with DOMCLI_PLAIN=1 (benchmarks/agreement.py) to tell the fast steps from the settings",
    ),
    Stage(
        "waits",
        90,
        (),
        "the host never waits for the GPU within an epoch",
        "benchmarks/host_waits.py --preset NAME --trace FILE shows where it waits",
    ),
    Stage(
        "steps",
        90,
        (),
        "times of a step: plain loop, one operation at a time, CUDA graphs; share of the floor",
        "the numbers measured before it failed stand; run it alone with --only steps",
        essential=False,
        alone=True,
    ),
    Stage(
        "epochs",
        120,
        (),
        "times of whole epochs and tests, steps of all cases, and the hours of all presets",
        "the numbers measured before it failed stand; run it alone with --only epochs",
        essential=False,
        alone=True,
    ),
    Stage(
        "kernels",
        60,
        (),
        "which kernels a recorded step consists of",
        "run it alone with --only kernels; PyTorch's profiler needs CUPTI",
        essential=False,
        alone=True,
    ),
    Stage(
        "compiled",
        120,
        (),
        "what a long PGD-10 run makes of compiling: seconds, and times of a step",
        "the trainer goes on as written where compiling fails; log.txt tells why it did",
        essential=False,
        alone=True,
    ),
    Stage(
        "shapes",
        90,
        (),
        "convolutions and batch norm of the network alone, by shape",
        "run it alone with --only shapes",
        essential=False,
        alone=True,
    ),
)
PATIENCE = 5
"""Times a stage's limit that it has on a CPU, which others may use as well."""
NAMES = tuple(stage.name for stage in STAGES)


def on_cpu(stage: Stage) -> Stage:
    """Return a stage as it is done on a CPU, with patience, and beside others unless it decides: no time counts."""
    return replace(stage, limit=PATIENCE * stage.limit, alone=stage.decides)


def command_of(name: str, output: Path, work: Path, images: Path | None, *, cpu: bool) -> tuple[str, ...]:
    """Return the command that does a stage."""
    told = ("--told", str(told_at(output, name)), "--work", str(work))
    given = (*(("--images", str(images)) if images else ()), *(("--cpu",) if cpu else ()))
    return (sys.executable, str(HERE / "stage_main.py"), name, *told, *given)


def environment_of(work: Path, inherited: Mapping[str, str], *, cpu: bool) -> dict[str, str]:
    """Return the variables of a stage: nothing that it makes or finds lies outside the check's temporary folder.

    The caches are one for all stages, as they are for a user's runs.
    """
    shared = work.parent
    own = {
        "XDG_CACHE_HOME": shared / "cache",
        "TORCHINDUCTOR_CACHE_DIR": shared / "cache" / "inductor",
        "TRITON_CACHE_DIR": shared / "cache" / "triton",
        "DOMCLI_RUNS_DIR": work / "runs",
        "HYPOTHESIS_STORAGE_DIRECTORY": work / "hypothesis",
        "TMPDIR": work / "tmp",
    }
    kept = {key: value for key, value in inherited.items() if key != "DOMCLI_PLAIN"}
    hidden = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} if cpu else {}
    return {**kept, **{key: str(path) for key, path in own.items()}, "PYTHONUNBUFFERED": "1", **hidden}
