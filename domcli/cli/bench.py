"""`domcli bench`: how fast this machine trains, and how long the presets take on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from domcli.cli import options, output
from domcli.errors import SettingsError

STDOUT = Path("-")
MOST_TRAINERS = 64


def bench(
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="What to measure: auto, cpu, cuda, or such as cuda:2.")
    ] = "auto",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="CASE",
            help="Only these cases, such as natural,pgd-10-augmix: natural, fgsm or pgd-10, alone or followed by "
            "-remove, -augmix or -randaugment, natural also by -augmix-all or -randaugment-all. With --together, the "
            "first three. Repeatable.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer repetitions; the plain loop only for natural and FGSM without DOM."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything found to FILE; -: to stdout.")
    ] = None,
    width: Annotated[int, typer.Option("--width", min=1, max=1024, help="Width of PreActResNet-18.")] = 64,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images a step.")] = 128,
    pairs: Annotated[
        int | None,
        typer.Option("--pairs", min=1, help="Repetitions of each case [default: 3 to 7, with --quick 1 or 2]."),
    ] = None,
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="Time several trainers at the same time instead (natural, fgsm, pgd-10), on a GPU with and without "
            "MPS; --jobs-per-gpu auto goes by it.",
        ),
    ] = False,
    trainers: Annotated[
        str | None,
        typer.Option("--trainers", metavar="1,2,4,8", help="With --together: how many, beside one alone."),
    ] = None,
    runs_dir: options.RunsDir = None,
) -> None:
    """Time the training step on this machine and estimate every preset.

    Steps are measured after the warm-up, natural, RS-FGSM and PGD-10, each without DOM and with its three kinds, and
    compared with a plain training loop and with the floor that arithmetic and memory set. Takes about half an hour on
    two CPU cores, --quick a few minutes; the machine should do nothing else meanwhile. Runs of the runs directory that
    train on the device are waited for, and queued ones begin there afterwards. Ctrl-C ends it, and shows what has been
    measured so far.

    With --together, 1, 2, 4 and 8 trainers train at the same time on one device, each a process of its own, and the
    rate of all together says how many runs at a time get most done.
    """
    from domcli.cli import bench_text, together_text
    from domcli.cli.benching import measure
    from domcli.cli.interrupts import Interrupts
    from domcli.launch.talk import UnfinishedError

    cases = [name.strip() for part in only or () for name in part.split(",") if name.strip()]
    if json_file is not None and json_file != STDOUT:
        _check_writable(json_file)
    arguments = [f"--width={width}", f"--batch-size={batch_size}", *(["--quick"] if quick else [])]
    arguments += [f"--pairs={pairs}"] if pairs is not None else []
    arguments += _together(trainers, pairs) if together else []
    if trainers is not None and not together:
        raise SettingsError("--trainers goes with --together")
    arguments += ["--only", *cases] if cases else []
    with Interrupts() as interrupts:
        report = measure(device, arguments, options.resolve_runs_dir(runs_dir), interrupts)
    if report is not None and report["cases"]:
        try:
            if json_file is not None:
                _write_json(report, json_file)
        finally:  # whatever becomes of the file, what was measured is told
            if json_file != STDOUT:
                (together_text if together else bench_text).write_tables(report)
    elif interrupts.count:
        output.note("stopped before anything was measured")
    if interrupts.count:
        raise typer.Exit(interrupts.exit_code)
    if report is not None and (together_text if together else bench_text).is_empty(report):
        raise UnfinishedError(f"nothing could be measured: {report['cases'][0]['problem']}")


def _together(trainers: str | None, pairs: int | None) -> list[str]:
    """Return the options of a benchmark of trainers at the same time. Raises SettingsError."""
    if pairs is not None:
        raise SettingsError("--pairs does not go with --together, which measures over a time")
    counts = [count.strip() for count in (trainers or "").split(",")] if trainers is not None else []
    if not all(count.isascii() and count.isdecimal() and 0 < int(count) <= MOST_TRAINERS for count in counts):
        raise SettingsError(
            f"--trainers {trainers}: write whole numbers from 1 to {MOST_TRAINERS} with commas between them, "
            "as in 1,2,4"
        )
    return ["--together", *(["--trainers", *counts] if counts else [])]


def _check_writable(path: Path) -> None:
    """Find out now, not after half an hour. Raises StorageError."""
    from domcli.exchange.files import require_writable

    require_writable(path, shown=options.shown_path(path))


def _write_json(report: dict[str, Any], path: Path) -> None:
    import json

    from domcli.exchange.files import write_file

    if path == STDOUT:
        output.json_data(report)
        return
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    write_file(path, lambda file: file.write(text.encode()))
    output.note(f"written: {options.shown_path(path)}")
