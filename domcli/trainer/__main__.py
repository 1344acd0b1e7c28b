"""The trainer process: `python -m domcli.trainer RUN_DIRECTORY [--device auto|cpu|cuda|cuda:N]`.

A launcher also hands over the run's lock and tells for which ticket it launched, and what the device is called outside.

Exit codes: 0 finished, 1 failed while training, 2 refused before it began, 3 stopped when asked. Every end that can
be caught writes a closing event.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import msgspec

from domcli import computation, extensions, files, locks, plain
from domcli.brief import BriefWriter
from domcli.errors import DomcliError, ProcessError, StorageError
from domcli.events import AnyEvent, Failed, Started, Stopped
from domcli.printable import log_to_stderr
from domcli.process import identify
from domcli.rundir import RunDirectory
from domcli.stream import EventWriter, next_seq
from domcli.trainer import anew, torch_environment
from domcli.trainer.again import told_again
from domcli.trainer.anew import BrokenRecording, start_anew
from domcli.trainer.failure import explain
from domcli.trainer.startup import Startup
from domcli.trainer.stop import StopFlag, StopRequested

FINISHED, FAILED, REFUSED, STOPPED = 0, 1, 2, 3
log = logging.getLogger(__name__)


class RunWriter(BriefWriter):
    """The stream of this run; remembers whether training has begun."""

    started = False

    def write(self, event: AnyEvent) -> AnyEvent:
        """Append the event (see BriefWriter)."""
        written = super().write(event)
        self.started = self.started or isinstance(event, Started)
        return written


def main(arguments: list[str] | None = None) -> int:
    """Run the trainer on a run directory and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m domcli.trainer", description="Train the run in a run directory.")
    parser.add_argument("run_directory", type=Path)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--shown-as", help="what the GPU is called where it is not the only one")
    parser.add_argument("--lock", type=int, help="descriptor of the run's lock, already held")
    parser.add_argument("--ticket", default="", help="id of the ticket for which it was launched")
    parser.add_argument(anew.OPTION, metavar="WHY", help="record no CUDA graphs, for this reason")
    options = parser.parse_args(arguments)
    log_to_stderr()
    stop = StopFlag()
    stop.install()
    run = RunDirectory(options.run_directory.resolve())
    try:
        run.read_settings()
        with _sole_trainer(run, options.lock, options.ticket):
            try:
                return _train(run, options, stop)
            except BrokenRecording as broken:
                log.warning("a CUDA graph cannot be recorded (%s); the trainer starts anew, without graphs", broken)
                start_anew(str(broken), [] if options.lock is None else [options.lock], stop)
    except (DomcliError, OSError) as error:
        log.error("%s", error)
        return REFUSED


def _train(run: RunDirectory, options: argparse.Namespace, stop: StopFlag) -> int:
    writer = RunWriter(run)
    log.info("trainer %d on %s", os.getpid(), run.path)
    try:
        _run_training(run, options, writer, stop)
    except BrokenRecording:
        raise
    except StopRequested as stopped:
        if not writer.started:
            _close(run, writer, Stopped(reason=f"{stopped}, before training began", epoch=0, step=0))
        log.info("stopped: %s", stopped)
        return STOPPED
    except BaseException as error:
        failed = told_again(explain(error, training=writer.started), run)
        if not isinstance(error, DomcliError):
            traceback.print_exc()
        log.error("%s", failed.reason)
        _close(run, writer, failed)
        return FAILED if writer.started else REFUSED
    finally:
        writer.close()
    log.info("finished")
    return FINISHED


def _run_training(run: RunDirectory, options: argparse.Namespace, writer: EventWriter, stop: StopFlag) -> None:
    from domcli.presets import from_run

    run.keep_reserve()
    files.clear_leftovers(run.path)
    plain.as_decided(computation.read(run).plain)
    os.environ.update(torch_environment())
    startup = Startup()
    startup.done("interpreter")
    with stop.at_once():
        extensions.load(run)
    settings = from_run(run, to_train=True)
    # From here on torch is loaded: seconds, after everything cheap that can be refused has been.
    with _nothing_collected():
        from domcli.trainer.device import keep_freed_memory
        from domcli.trainer.loop import train
    startup.done("torch")

    stop.check()
    keep_freed_memory()
    train(run, settings, options.device, writer, stop, options.shown_as, startup, options.without_graphs)


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Spare the garbage collector what is loaded within: a tenth of the time, and later every search through it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _sole_trainer(run: RunDirectory, given: int | None, ticket: str) -> Iterator[None]:
    """Hold on to the run's folder and lock, and say in process.json who does.

    Raises ProcessError if another trainer holds the lock, or if the one that was given is not that of this folder.
    """
    with run.pinned("train"):
        run.require_untouched()
        lock = files.open_own(run.lock, os.O_RDWR) if given is None else given
        try:
            os.set_inheritable(lock, False)
            if not locks.try_lock(lock):
                raise ProcessError(f"another trainer is at work on {run.path}")
            if not os.path.samestat(os.fstat(lock), run.lock.lstat()):
                raise ProcessError(f"{run.path} is not the folder that this trainer was started for")
            known, own = run.read_process(), identify()
            if own is not None and (known is None or known.pid != own.pid):
                run.write_process(msgspec.structs.replace(own, ticket=ticket, first_event=next_seq(run.events)))
            yield
        finally:
            os.close(lock)


def _close(run: RunDirectory, writer: EventWriter, event: Failed | Stopped) -> None:
    """Write the closing event; on a full disk the reserve makes room for it."""
    try:
        writer.write(event)
    except StorageError:
        with contextlib.suppress(OSError):
            files.unlink(run.reserve)
        writer.write(event)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    # Everything is written and closed; taking torch apart would take another second, and the device waits for it.
    os._exit(code)
