"""Training a run on: more epochs, or fewer, where that changes nothing of what has been computed."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import tomli_w

from domcli import checkpoints, files, presets
from domcli.catalogue import SCHEDULES
from domcli.errors import ProcessError, StorageError
from domcli.plural import counted
from domcli.rundir import RunDirectory
from domcli.runs import Run, read_run

if TYPE_CHECKING:
    from domcli.settings import Settings


def extended(run: Run, epochs: int) -> Settings:
    """Return the settings of a run that is to have so many epochs, over the schedule that it has begun.

    The schedule and the warm-up keep the epochs that they span: a longer schedule would have been another one from the
    first step on. Raises ProcessError, SettingsError or CheckpointError with the reason why that cannot be.
    """
    name, done = run.directory.name, run.state.epochs_done
    settings = presets.from_run(run.directory)
    refuse_imported(run.directory)
    if epochs <= done:
        raise ProcessError(f"{name} has {counted(done, 'epoch')} already: --epochs {epochs} leaves nothing to train")
    train = settings.train
    schedule = SCHEDULES.get(train.schedule)
    if schedule is not None and schedule.ends_at_zero and epochs > train.span:
        raise ProcessError(
            f"{name} cannot be trained beyond epoch {train.span}: there its {train.schedule} schedule ends, with a "
            f"learning rate of 0, and one over {epochs} epochs would have been another from the first step on; "
            f"begin a run of its own: domcli run {shlex.quote(str(run.directory.settings))} "
            f"--set train.epochs={epochs} --name NAME"
        )
    tables = settings.to_dict()
    tables["train"] |= {"epochs": epochs, "schedule_epochs": train.span}
    if epochs == train.span:
        del tables["train"]["schedule_epochs"]
    wanted = presets.resolve_tables(tables, f"--epochs {epochs}", purpose="made")
    if os.path.lexists(run.directory.checkpoint("last")):
        checkpoints.about_last(run.directory, wanted)
    return wanted


def extend(directory: RunDirectory, epochs: int) -> None:
    """Have settings.toml say that the run is to have so many epochs (see `extended`), for a caller that holds its lock.

    Where it says so already, after a launch that failed, nothing is written. Raises StorageError if nothing can be.
    """
    run = read_run(directory)
    train = run.settings.get("train")
    if isinstance(train, dict) and train.get("epochs") == epochs:
        return
    settings = extended(run, epochs)
    try:
        before = directory.settings.stat()
        files.replace_text(directory.settings, tomli_w.dumps(settings.to_dict()))
        # By that time runs are listed, oldest first: this one is no younger than before.
        os.utime(directory.settings, ns=(before.st_atime_ns, before.st_mtime_ns))
    except OSError as error:
        raise StorageError(f"cannot write {directory.settings}: {error.strerror}") from error


def refuse_imported(directory: RunDirectory) -> None:
    """Raise ProcessError for a run that was never trained here."""
    if "imported_from" in directory.read_environment():
        raise ProcessError(f"{directory.name} was imported from a log: there is no checkpoint to go on from")
