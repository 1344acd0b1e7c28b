"""`domcli bench`: how fast this machine trains, and how long the presets take on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from domcli.cli import options, output
from domcli.errors import DomcliError, StorageError

STDOUT = Path("-")


class BenchmarkError(DomcliError):
    """A benchmark failed on its way."""

    exit_code = 1


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
            "-remove, -augmix or -randaugment. Repeatable.",
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
) -> None:
    """Time the training step on this machine and estimate every preset.

    Steps are measured after the warm-up, natural, RS-FGSM and PGD-10, each without DOM and with its three kinds, and
    compared with a plain training loop and with the floor that arithmetic and memory set. Takes about half an hour on
    two CPU cores, --quick a few minutes; the machine should do nothing else meanwhile. Ctrl-C ends it, and shows what
    has been measured so far.
    """
    from domcli.cli.bench_text import write_tables
    from domcli.cli.benching import measure
    from domcli.cli.follow import Interrupts

    cases = [name.strip() for part in only or () for name in part.split(",") if name.strip()]
    if json_file is not None and json_file != STDOUT:
        _check_writable(json_file)
    arguments = [f"--width={width}", f"--batch-size={batch_size}", *(["--quick"] if quick else [])]
    arguments += [f"--pairs={pairs}"] if pairs is not None else []
    arguments += ["--only", *cases] if cases else []
    with Interrupts() as interrupts:
        report = measure(device, arguments, interrupts)
    if report is not None and report["cases"]:
        if json_file is not None:
            _write_json(report, json_file)
        if json_file != STDOUT:
            write_tables(report)
    elif interrupts.count:
        output.note("stopped before anything was measured")
    if interrupts.count:
        raise typer.Exit(interrupts.exit_code)
    if report is not None and not any(case["domcli"] for case in report["cases"]):
        raise BenchmarkError(f"nothing could be measured: {report['cases'][0]['problem']}")


def _check_writable(path: Path) -> None:
    """Find out now, not after half an hour. Raises StorageError."""
    try:
        existed = path.exists()
        path.open("a").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise StorageError(f"cannot write {options.shown_path(path)}: {error.strerror}") from error


def _write_json(report: dict[str, Any], path: Path) -> None:
    import json

    if path == STDOUT:
        output.json_data(report)
        return
    try:
        path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {options.shown_path(path)}: {error.strerror}") from error
    output.note(f"written: {options.shown_path(path)}")
