"""Turns logs of the official implementation into run directories that every reader takes for what they are."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from domcli import __version__, files, finding, rundir
from domcli.catalogue import DATASETS, NETWORKS
from domcli.discarding import discard
from domcli.errors import StorageError
from domcli.events import AnyEvent, EpochEnd, Finished, Started, Stopped, TestMetrics, TrainMetrics, encode
from domcli.exchange.official import LoggedEpoch, Measured, OfficialLog, OfficialLogError, Session, read_log
from domcli.exchange.official_settings import not_mapped, not_of_the_log, preset_of, settings_of
from domcli.rundir import RunDirectory
from domcli.settings import Settings

NOT_LOGGED = "not in the log"


@dataclass(frozen=True)
class ImportedRun:
    """A run as it will be written: nothing is on disk yet."""

    name: str
    settings: Settings
    environment: dict[str, Any]
    events: tuple[AnyEvent, ...]
    log: str
    not_mapped: tuple[str, ...]
    remarks: tuple[str, ...]
    """What its settings say that the log does not, or differently; each with the reason."""


def read_runs(paths: Sequence[Path], runs_dir: Path, name: str | None = None) -> list[ImportedRun]:
    """Return the runs that these logs record, under names that are free in `runs_dir`; all of them, or none.

    Without `name` a run is called as the official run was, numbered where that is taken. Raises OfficialLogError or
    SettingsError for a log that is not whole or has no counterpart here, RunDirectoryError for a `name` that is not
    free, and OfficialLogError for a log that was imported before, unless it is given a `name`.
    """
    if name is not None:
        rundir.require_unused(runs_dir, name)
    known = {_identity(run.read_environment()): run.name for run in finding.list_runs(runs_dir)}
    known.pop(None, None)
    found: list[ImportedRun] = []
    for path in paths:
        log = read_log(path)
        environment = _environment(log)
        identity = _identity(environment)
        earlier = {_identity(run.environment): run.environment["imported_from"] for run in found}
        if identity in earlier:
            raise OfficialLogError(f"{path} records the same run as {earlier[identity]}; give it once")
        if name is None and identity in known:
            raise OfficialLogError(
                f"{path} is imported already, as {known[identity]}; delete that run, or choose another --name"
            )
        settings = settings_of(log)
        environment["preset"] = preset_of(settings) or environment["official_arguments"]["fname"]
        chosen = name or _free_name(log, runs_dir, {run.name for run in found})
        unmapped = tuple(not_mapped(environment["official_arguments"]))
        remarks = tuple(not_of_the_log(environment["official_arguments"], settings))
        environment["import_remarks"] = list(remarks)
        events = tuple(_events(log, settings))
        found.append(ImportedRun(chosen, settings, environment, events, log.text, unmapped, remarks))
    return found


def write_runs(runs: Sequence[ImportedRun], runs_dir: Path) -> list[RunDirectory]:
    """Create the run directories, each with its log as the trainer's; all or none.

    Raises RunDirectoryError or StorageError.
    """
    written: list[RunDirectory] = []
    try:
        for run in runs:
            written.append(rundir.create(runs_dir, run.name, run.settings.to_dict(), run.environment))
            lines = b"".join(encode(event) for event in run.events).decode()
            with written[-1].pinned("import"):
                files.replace_text(written[-1].log, run.log)
                files.replace_text(written[-1].events, lines)
                files.unlink(written[-1].reserve)
    except BaseException as error:
        for directory in written:
            discard(directory)
        if isinstance(error, OSError):
            raise StorageError(f"cannot write the run {runs[-1].name} in {runs_dir}: {error.strerror}") from error
        raise
    return written


def _identity(environment: dict[str, Any]) -> str | None:
    """Return what tells one official run from another: when it began and with which arguments; None for others."""
    arguments = environment.get("official_arguments")
    if arguments is None:
        return None
    return json.dumps([environment.get("created"), arguments], sort_keys=True)


def _environment(log: OfficialLog) -> dict[str, Any]:
    first = log.sessions[0]
    return {
        "preset": None,
        "quick": False,
        "command_line": None,
        "created": first.time,
        "hostname": None,
        "platform": None,
        "python": None,
        "domcli": None,
        "torch": None,
        "torchvision": None,
        "git_commit": None,
        "imported_from": str(log.path.absolute()),
        "imported": time.time(),
        "imported_with": __version__,
        "official_version": first.version,
        "official_arguments": _plain(dict(first.arguments), log),
        "training_accuracy": "measured after each epoch, network in eval mode",
    }


def _plain(arguments: dict[str, Any], log: OfficialLog) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        place = log.place(log.sessions[0].line)
        raise OfficialLogError(f"{place}: expected arguments that are text, numbers or lists: {error}") from error
    return plain


def _free_name(log: OfficialLog, runs_dir: Path, taken: set[str]) -> str:
    """Return the name of the official run, with what a run name cannot hold replaced by `-`, numbered if taken."""
    last = str(log.sessions[0].arguments["fname"]).rstrip("/").rpartition("/")[2]
    wanted = re.sub(r"[^A-Za-z0-9._+=-]", "-", last).lstrip("._+=-")[:150] or "official-run"
    name, number = rundir.unused_name(runs_dir, wanted), 1
    while name in taken:
        number += 1
        name = rundir.unused_name(runs_dir, f"{wanted}-{number}")
    return name


def _events(log: OfficialLog, settings: Settings) -> list[AnyEvent]:
    """Return the stream: for each session what a trainer would have written, at the times of the log."""
    events: list[AnyEvent] = []
    kept: list[LoggedEpoch] = []
    for session in log.sessions:
        events.append(_started(session, settings))
        kept = kept[: session.first_epoch]
        for logged in session.epochs:
            best = max((_headline(epoch).accuracy for epoch in kept), default=0.0)
            events.append(_epoch_end(logged, _headline(logged).accuracy > best))
            kept.append(logged)
    total, done, end = settings.train.epochs, len(kept), events[-1].time
    if done == total:
        seconds = sum(epoch.train_seconds + epoch.test_seconds for epoch in kept)
        events.append(Finished(time=end, seconds=seconds))
    else:
        reason = f"the imported log ends early, after {done} of {total} epochs"
        events.append(Stopped(time=end, reason=reason, epoch=done, step=0))
    return [msgspec.structs.replace(event, seq=seq) for seq, event in enumerate(events)]


def _headline(epoch: LoggedEpoch) -> Measured:
    """Return what the official script chooses its best epoch by: PGD on the test set, else natural accuracy."""
    return epoch.measured.get("Test RO") or epoch.measured["Test NA"]


def _started(session: Session, settings: Settings) -> Started:
    dataset, network = DATASETS[settings.data.dataset], NETWORKS[settings.model.name]
    shape, classes, images = dataset.shape, dataset.classes, dataset.images
    if shape is None or classes is None or images is None:
        raise LookupError(f"the size of {dataset.name} is not known")
    return Started(
        time=session.time,
        settings_digest=settings.digest(),
        device="imported",
        device_name=NOT_LOGGED,
        precision=NOT_LOGGED,
        train_size=images[0],
        test_size=images[1],
        classes=classes,
        image_shape=shape,
        parameters=network.size.parameters(settings.model.width, shape[0], classes),
        epochs=settings.train.epochs,
        steps_per_epoch=-(-images[0] // settings.train.batch_size),
        epoch=session.first_epoch,
    )


def _epoch_end(logged: LoggedEpoch, best: bool) -> EpochEnd:
    """Return the event of an epoch.

    The official script measures the training set after the epoch, in eval mode: that is `train_attack` here, and it
    stands for the training passes, which are not logged.
    """
    train = _metrics(logged, "Train")
    one_step = train.one_step_accuracy is not None
    return EpochEnd(
        time=logged.time,
        epoch=logged.epoch + 1,
        lr=logged.lr,
        train=TrainMetrics(
            natural_loss=train.natural_loss,
            natural_accuracy=train.natural_accuracy,
            robust_loss=train.one_step_loss if one_step else train.pgd_loss,
            robust_accuracy=train.one_step_accuracy if one_step else train.pgd_accuracy,
        ),
        test=_metrics(logged, "Test"),
        train_attack=train,
        memorization=None,
        best=best,
        train_seconds=logged.train_seconds,
        test_seconds=logged.test_seconds,
        images_per_second=None,
        memory=None,
    )


def _metrics(logged: LoggedEpoch, images: str) -> TestMetrics:
    natural = logged.measured[f"{images} NA"]
    pgd, one_step = logged.measured.get(f"{images} RO"), logged.measured.get(f"{images} FGSM")
    return TestMetrics(
        natural_loss=natural.loss,
        natural_accuracy=natural.accuracy,
        pgd_loss=pgd.loss if pgd else None,
        pgd_accuracy=pgd.accuracy if pgd else None,
        one_step_loss=one_step.loss if one_step else None,
        one_step_accuracy=one_step.accuracy if one_step else None,
    )
