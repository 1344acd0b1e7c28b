"""The epoch loop, from top to bottom: set up, train, evaluate, record, keep."""

from __future__ import annotations

import logging
import time

import msgspec
import torch

from domcli import computation, files
from domcli.catalogue import THRESHOLDS
from domcli.events import EpochEnd, Finished, Started, Stopped, TestMetrics, TrainMetrics
from domcli.rundir import RunDirectory
from domcli.runstate import headline_accuracy
from domcli.settings import Settings
from domcli.stream import EventWriter
from domcli.trainer import checkpoint, data, seeding
from domcli.trainer import device as devices
from domcli.trainer.background import BackgroundWriter
from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import Attacks, Draws, Pieces, evaluate
from domcli.trainer.fast import computation_of, engine_for
from domcli.trainer.keeping import Keeper
from domcli.trainer.memorization import LossArchive
from domcli.trainer.report import ProgressReporter, refuse_divergence, refuse_no_threshold
from domcli.trainer.schedule import dom_is_active, fractional_epoch, learning_rate, warmup_ends_with
from domcli.trainer.seeding import Purpose
from domcli.trainer.startup import Startup
from domcli.trainer.state import Training
from domcli.trainer.stop import StopFlag, StopRequested

log = logging.getLogger(__name__)


def train(
    run: RunDirectory,
    settings: Settings,
    device_name: str,
    writer: EventWriter,
    stop: StopFlag,
    shown_as: str | None = None,
    startup: Startup | None = None,
    without_graphs: str | None = None,
) -> None:
    """Train a run from where it stands to its end, or until it is asked to stop.

    `shown_as` is what a GPU is called outside of this process, which may see no other; `without_graphs` says why
    nothing may be recorded, if that is so.
    Raises the DomcliError that says why it cannot start or go on; StopRequested after a stop, with everything saved;
    BrokenRecording where it must start anew without graphs.
    """
    startup = startup or Startup()
    training, engine = set_up(run, settings, device_name, stop, startup, without_graphs)
    if training.device.type == "cpu":
        engine.heed(stop.check)
    archive = _archive(run, training)
    with BackgroundWriter(writer) as background:
        keeper = Keeper(run, training, background)
        background.write(_started(training, shown_as, startup))
        reporter = ProgressReporter(training, background, lambda: _tell_startup(run, startup))
        pieces = Pieces(training.device)
        told = _tell_engine(run, engine, pieces, {})
        try:
            while training.epoch < settings.train.epochs:
                train_epoch(training, engine, reporter, stop)
                test_started = time.monotonic()
                test, attacked_train = _evaluate(training, engine, reporter, stop, pieces)
                end = _finish_epoch(training, test, attacked_train, time.monotonic() - test_started)
                if archive is not None:
                    archive.keep(end.epoch - 1, training.record.natural)
                keeper.after_epoch(end)
                _log_epoch(end)
                told = _tell_engine(run, engine, pieces, told)
        except StopRequested as stopped:
            keeper.save_last()
            background.write(Stopped(reason=str(stopped), epoch=training.epoch, step=training.step))
            raise
        background.write(Finished(seconds=training.seconds))


def set_up(
    run: RunDirectory,
    settings: Settings,
    device_name: str,
    stop: StopFlag,
    startup: Startup,
    without_graphs: str | None = None,
) -> tuple[Training, Engine]:
    """Return the run's state, fresh or as its last checkpoint left it, and what does its steps."""
    device = devices.select_device(device_name)
    devices.prepare(device)
    log.info("device %s (%s)", device, devices.name(device))
    startup.done("device")
    with stop.at_once():
        dataset = data.load(settings.data, device, settings.options)
    startup.done("data")
    training = Training.fresh(settings, dataset, device)
    with stop.at_once():
        engine = engine_for(training, computation.read(run), without_graphs=without_graphs)
    computation.keep(run, computation.read(run), computation_of(training, engine))
    files.clear_leftovers(run.checkpoints, 0)  # nobody else writes there: a checkpoint may be large
    if run.checkpoint("last").exists():
        checkpoint.restore_last(run, training)
        log.info("resuming after %d epochs and %d steps", training.epoch, training.step)
    run.update_environment({**devices.describe(device), "precision": _precision_name(training)})
    startup.done("network")
    return training, engine


def _tell_startup(run: RunDirectory, startup: Startup) -> None:
    """Have environment.json say how long this start took, now that the first step is done."""
    startup.done("first_step")
    launched = run.read_process()
    if launched is not None:
        run.update_environment(startup.describe(launched.launched))


def _tell_engine(run: RunDirectory, engine: Engine, pieces: Pieces, told: dict[str, str | int]) -> dict[str, str | int]:
    """Have environment.json say how steps are done, and evaluations, if that is something new."""
    now: dict[str, str | int] = {**engine.describe(), **pieces.describe()}
    if now != told:
        run.update_environment({"no_graphs": None, **now})  # what was so at an earlier start may not be so now
        computation.keep(run, computation.read(run), computation_of(engine.training, engine))
    return now


def train_epoch(training: Training, engine: Engine, reporter: ProgressReporter, stop: StopFlag) -> None:
    """Do the steps of the current epoch that are not done yet."""
    settings = training.settings
    order = seeding.order(training.patterns, settings.train.seed, training.epoch).to(training.device)
    before, began = training.epoch_seconds, time.monotonic()
    reporter.begin("train")
    for step in range(training.step, training.steps_per_epoch):
        stop.check()
        t = fractional_epoch(training.epoch, step, training.steps_per_epoch)
        index = order[step * settings.train.batch_size : (step + 1) * settings.train.batch_size]
        seeding.reseed(settings.train.seed, Purpose.STEP, training.epoch, step)
        dom_active = dom_is_active(t, settings.dom, settings.train.span)
        engine.step(index, learning_rate(t, settings.train), dom_active)
        training.step = step + 1
        training.epoch_seconds = before + time.monotonic() - began
        reporter.after_step()
    totals = training.meter.read()  # waits for the device, so the time below is that of the work
    training.epoch_seconds = before + time.monotonic() - began
    refuse_divergence(totals, training)
    refuse_no_threshold(training)


def _evaluate(
    training: Training, engine: Engine, reporter: ProgressReporter, stop: StopFlag, pieces: Pieces
) -> tuple[TestMetrics | None, TestMetrics | None]:
    """Return the metrics of the test set and, when asked for, of the attacked training set."""
    settings, epoch = training.settings, training.epoch
    # Where the schedule ends a run may have ended, too, before it was trained on.
    if (epoch + 1) % settings.evaluation.every and epoch + 1 not in (settings.train.span, settings.train.epochs):
        return None, None

    def after_batch(done: int, batches: int) -> None:
        reporter.after_batch(done, batches)
        stop.check()

    def measure(images: data.ImageSet, attacks: Attacks, purpose: Purpose) -> TestMetrics:
        draws = Draws(settings.train.seed, purpose, epoch)
        return evaluate(training.classifier, images, attacks, engine.measure, draws, after_batch, pieces)

    reporter.begin("test")
    test = measure(training.dataset.test, Attacks.on_test_set(settings), Purpose.TEST)
    if not settings.evaluation.train_attack:
        return test, None
    reporter.begin("attack-train")
    return test, measure(training.dataset.train, Attacks.on_training_set(settings), Purpose.ATTACK_TRAIN)


def _finish_epoch(
    training: Training, test: TestMetrics | None, attacked_train: TestMetrics | None, test_seconds: float
) -> EpochEnd:
    """Return the event of the epoch that was just done, and move the state on to the next."""
    settings, epoch, totals = training.settings, training.epoch, training.meter.read()
    attacked = training.plan.attack is not None
    if warmup_ends_with(epoch, settings.dom, settings.train.span):
        training.record.end_warmup()
    t = fractional_epoch(epoch, training.steps_per_epoch - 1, training.steps_per_epoch)
    end = EpochEnd(
        epoch=epoch + 1,
        lr=learning_rate(t, settings.train),
        train=TrainMetrics(
            natural_loss=totals.mean(totals.natural_loss),
            natural_accuracy=totals.mean(totals.natural_correct),
            robust_loss=totals.mean(totals.robust_loss) if attacked else None,
            robust_accuracy=totals.mean(totals.robust_correct) if attacked else None,
        ),
        test=test,
        train_attack=attacked_train,
        memorization=training.record.summarise(
            totals,
            after_warmup=epoch + 1 >= settings.train.span * settings.dom.warmup,
            attacked=attacked,
            threshold=settings.dom.threshold if THRESHOLDS[settings.dom.rule].constant else None,
        ),
        best=False,
        train_seconds=training.epoch_seconds,
        test_seconds=test_seconds,
        images_per_second=training.patterns / training.epoch_seconds,
        memory=devices.peak_memory(training.device),
    )
    accuracy = headline_accuracy(end)
    if accuracy is not None and accuracy > training.best:
        training.best = accuracy
        end = msgspec.structs.replace(end, best=True)
    training.seconds += training.epoch_seconds + test_seconds
    training.epoch, training.step, training.epoch_seconds = epoch + 1, 0, 0.0
    training.meter.reset()
    return end


def _archive(run: RunDirectory, training: Training) -> LossArchive | None:
    if not training.settings.memorization.record:
        return None
    return LossArchive(run.memorization, training.settings.train.epochs, training.patterns)


def _started(training: Training, shown_as: str | None, startup: Startup) -> Started:
    images = training.dataset.train.images
    busy = startup.busy_cores(torch.get_num_threads()) if training.device.type == "cpu" else None
    if busy is not None:
        log.warning("%s: training takes longer", busy)
    return Started(
        settings_digest=training.settings.digest(),
        device=shown_as if shown_as and training.device.type == "cuda" else str(training.device),
        device_name=devices.name(training.device),
        precision=_precision_name(training),
        train_size=training.patterns,
        test_size=len(training.dataset.test.labels),
        classes=len(training.dataset.class_names),
        image_shape=(images.shape[1], images.shape[2], images.shape[3]),
        parameters=sum(parameter.numel() for parameter in training.classifier.parameters()),
        epochs=training.settings.train.epochs,
        steps_per_epoch=training.steps_per_epoch,
        epoch=training.epoch,
        step=training.step,
        busy_cores=busy,
    )


def _precision_name(training: Training) -> str:
    return "bfloat16" if training.precision == torch.bfloat16 else "float32"


def _log_epoch(end: EpochEnd) -> None:
    measured = {} if end.test is None else {key: value for key, value in msgspec.to_builtins(end.test).items() if value}
    numbers = " ".join(f"{key}={value:.4f}" for key, value in measured.items())
    log.info("epoch %d done in %.1f s: %s", end.epoch, end.train_seconds + end.test_seconds, numbers)
