"""`domcli evaluate`: attack a checkpoint of a run after its training."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Annotated

import typer

from domcli.cli import launching, options, output


class Attack(str, Enum):
    """What the checkpoint is attacked with."""

    pgd = "pgd"
    autoattack = "autoattack"


class Norm(str, Enum):
    """What bounds the perturbation."""

    linf = "linf"
    l2 = "l2"


def evaluate(
    run: options.RunName,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="NAME", help="best, last, epoch-0010, or a .safetensors file.")
    ] = "best",
    attack: Annotated[
        Attack, typer.Option("--attack", help="PGD, or AutoAttack (standard), which needs domcli[autoattack].")
    ] = Attack.pgd,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of PGD [default: the run's evaluation].")] = None,
    restarts: Annotated[
        int | None, typer.Option("--restarts", help="Random starts of PGD; an image must withstand them all.")
    ] = None,
    epsilon: Annotated[float | None, typer.Option("--epsilon", help="Radius in 1/255 [default: the run's].")] = None,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="Step size of PGD in 1/255 [default: the run's evaluation].")
    ] = None,
    norm: Annotated[Norm | None, typer.Option("--norm", help="Norm of the radius [default: the run's].")] = None,
    images: Annotated[
        int | None, typer.Option("--images", metavar="N", help="Only N test images, spread evenly over the classes.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="Where: auto, cpu, cuda (any GPU), or such as cuda:2.")
    ] = "auto",
    jobs_per_gpu: launching.JobsPerGpu = "auto",
    runs_dir: options.RunsDir = None,
    as_json: options.Json = False,
) -> None:
    """Attack a checkpoint with the network in eval mode and float32, and keep the result with the run.

    What is found is kept batch by batch: after Ctrl-C, or a crash, the same command goes on where it was. Asked again,
    it shows the result that was kept.
    """
    from domcli import evaluations
    from domcli.cli import evaluation_text
    from domcli.presets import from_run
    from domcli.runs import read_run

    directory = options.find_run(run, runs_dir)
    settings = from_run(directory)
    directory.require_own("evaluate")
    plan = evaluations.make_plan(
        directory,
        settings,
        checkpoint=checkpoint,
        attack=attack.value,
        norm=norm.value if norm else None,
        epsilon=epsilon,
        alpha=alpha,
        steps=steps,
        restarts=restarts,
        images=images,
    )
    _warn_of_scale(
        plan.norm,
        {
            "--epsilon" if epsilon is not None else f"attack.epsilon of {directory.name}": plan.epsilon,
            "--alpha" if alpha is not None else f"evaluation.alpha of {directory.name}": plan.alpha,
        },
    )
    result = evaluations.read_result(directory.evaluations / plan.name)
    if result is None:
        from domcli.cli.evaluating import attack_checkpoint

        result = attack_checkpoint(directory, plan, settings, device, jobs_per_gpu)
    else:
        output.note(f"{directory.name}: this was measured before, here is the result that was kept")
    found = read_run(directory)
    if as_json:
        output.json_data(evaluation_text.as_json(found, result))
    else:
        output.lines(evaluation_text.lines(found, result))


def _warn_of_scale(norm: str, strengths: Mapping[str, float | None]) -> None:
    """Say which strength, by where it comes from, is probably on another scale."""
    from domcli.settings import scale_doubt

    for name, value in strengths.items():
        doubt = None if value is None else scale_doubt(name, value, norm)
        if doubt is not None:
            output.warning(doubt)
