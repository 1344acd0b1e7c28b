"""The stages of steps, of fixed shapes, each recorded once and replayed: on CUDA one is then launched as one graph.

What depends on data may change neither shapes nor which operations are done. Hence DOM_DA's subset of high-confidence
patterns goes through the network with the whole batch, and batch norm takes its statistics from the subset alone. The
last, smaller batch of an epoch has recordings of its own. Draws of operations (AugMix, RandAugment) are made on the
host between two recordings.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from domcli.computation import WRITTEN
from domcli.memory import is_out_of_memory
from domcli.trainer.anew import BrokenRecording
from domcli.trainer.engine import Engine
from domcli.trainer.evaluate import Attacks
from domcli.trainer.fast.convert import convert, statistics_of, takes_subsets
from domcli.trainer.models import SMALLEST_FOR_ONE
from domcli.trainer.passes import loss_of
from domcli.trainer.state import Training
from domcli.trainer.step import Outputs, Stage, learn, look, retrain, train_step

log = logging.getLogger(__name__)

Recorder = Callable[[Stage, Sequence[Tensor], Sequence[Tensor]], Stage]
"""From a function, example inputs and the tensors that it changes, to one that replays it on inputs of these shapes.

Recording leaves the changed tensors and the random generators as they were; raises RuntimeError where it cannot be
done, BrokenRecording where the process cannot go on after it.
"""


@contextmanager
def afterwards(put_back: Callable[[], None]) -> Iterator[None]:
    """Put something back afterwards, whatever happens, unless the process is unfit for it."""
    try:
        yield
    except BrokenRecording:
        raise
    except BaseException:
        put_back()
        raise
    put_back()


@contextmanager
def restored(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Put back the values of tensors afterwards."""
    values = [tensor.detach().clone() for tensor in tensors]

    def put_back() -> None:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)

    with afterwards(put_back):
        yield


def first_line(error: BaseException) -> str:
    """Return what an error says first, else of what kind it is."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def unrecorded(function: Stage, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Stage:
    """Return the function as it is: the recorder that records nothing."""
    del inputs, changed
    return function


class RecordingEngine(Engine):
    """Records each kind of stage when it first comes, and replays it from then on (see step.Way)."""

    def __init__(self, training: Training, recorder: Recorder) -> None:
        # Graphs of an earlier training of this process end now: when one ends, PyTorch 2.12 to 2.14 free workspaces of
        # cuBLAS that those recorded on the same stream still use.
        gc.collect()
        super().__init__(training)
        convert(training.classifier)
        self._recorder = recorder
        self._recorded: dict[Hashable, Stage] = {}
        small = training.dataset.train.images.shape[-1] <= SMALLEST_FOR_ONE
        self._gathers = small or not takes_subsets(training.classifier)

    @property
    def asks(self) -> bool:
        """Whether the host asks which patterns are chosen, as it does where nothing of that can be recorded."""
        return self._no_graphs is not None or self._gathers

    @property
    def records(self) -> bool:
        """Whether steps are recorded, as they are unless that has failed."""
        return self._no_graphs is None

    def describe(self) -> dict[str, str]:
        """Return what environment.json says of how steps are done (see Engine)."""
        if self._no_graphs is not None:
            return super().describe()
        return {"steps": "CUDA graphs", **self.about}

    def step(self, index: Tensor, lr: float, dom_active: bool) -> None:
        """Train on the patterns at `index` (see Engine)."""
        training = self.training
        if self._no_graphs is not None or (self.asks and dom_active and training.plan.distract is not None):
            super().step(index, lr, dom_active)
            return
        images, labels = self.batch(index)
        training.lr.fill_(lr)
        train_step(training, self, index, images, labels, dom_active)

    def measure(self, pixels: Tensor, labels: Tensor, attacks: Attacks) -> Tensor:
        """Return summed loss and hits of a batch (see Engine).

        Raises the error that says so where memory does not suffice: fewer images at a time may still be recorded.
        """
        if self._no_graphs is not None:
            return super().measure(pixels, labels, attacks)
        (sums,) = self._replayed(("measure", attacks), self._measured(attacks), pixels, labels, divisible=True)
        return sums

    def run(self, kind: Hashable, stage: Stage, *inputs: Tensor) -> Outputs:
        """Do a stage of a step, recorded (see step.Way)."""
        if self._no_graphs is not None or (self.asks and kind in ("judge", "update")):
            return stage(*inputs)
        return self._replayed(kind, stage, *inputs)

    def harder(self, images: Tensor, labels: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
        """Return images augmented by DOM_DA's operation, and their natural losses (see step.Way): all of the batch goes
        through operation and network, and what is meant has its own batch statistics.
        """
        if self.asks:
            return super().harder(images, labels, among)
        operation = self.training.plan.distract
        assert operation is not None
        augmented = operation(images)
        (losses,) = self._replayed("subset", self._subset_losses, augmented, labels, among)
        return augmented, losses

    def rehearse(self, attacks: Attacks, tested: int) -> None:
        """Do once, unrecorded, each kind of pass that the run will do, and leave everything as it was.

        `attacks` are those on the test set, of which `tested` images at a time are evaluated.
        """
        training, plan = self.training, self.training.plan
        index = torch.arange(min(training.settings.train.batch_size, training.patterns), device=training.device)
        devices = [training.device] if training.device.type == "cuda" else []
        with restored(self._changed()), torch.random.fork_rng(devices):
            images, labels = self.batch(index)
            training.lr.zero_()
            learn(training, self, plan.distract is None, index, images, labels)
            if plan.distract is not None:
                losses, correct = look(training, self, False, images, labels)
                some = index % 2 == 0
                self._subset_losses(images, labels, some)
                retrain(training, self, False, index, images, labels, losses, correct, some)
            training.classifier.eval()
            try:
                pixels, classes = images[:1].repeat(tested, 1, 1, 1), labels[:1].repeat(tested)
                self._measured(attacks)(pixels.contiguous(memory_format=torch.channels_last), classes)
            finally:
                training.classifier.train()
        training.optimizer.zero_grad()

    def give_up(self, problem: str) -> None:
        """Record nothing any more, and compute the network as it is written: compiled, it was chosen for recordings."""
        self._no_graphs = problem
        self._recorded.clear()
        if self._fast is not None:
            self.compute(None, {"network": WRITTEN, "not_compiled": "there are no CUDA graphs"})
        log.warning("steps are not recorded as CUDA graphs, and take longer: %s", problem)

    def _replayed(self, kind: Hashable, stage: Stage, *inputs: Tensor, divisible: bool = False) -> Outputs:
        """Return what a stage does as recorded; the outputs are the caller's own, whatever is replayed after it."""
        key = (kind, len(inputs[0]))
        if key not in self._recorded and self._no_graphs is None:
            try:
                self._recorded[key] = self._recorder(stage, inputs, self._changed())
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if divisible and is_out_of_memory(error):
                    raise
                self.give_up(first_line(error))
        if key not in self._recorded:
            return stage(*inputs)
        return tuple(output.clone() for output in self._recorded[key](*inputs))

    def _changed(self) -> list[Tensor]:
        """Return every tensor that a step changes and a later one reads."""
        training = self.training
        record, optimizer = training.record, training.optimizer
        noted = [record.natural, record.adversarial, record.threshold, training.meter.sums]
        return [*optimizer.parameters, *optimizer.velocity, *training.classifier.statistics(), *noted]

    def _measured(self, attacks: Attacks) -> Stage:
        def measured(pixels: Tensor, labels: Tensor) -> Outputs:
            with self.arithmetic():
                return (self.attacked_sums(pixels, labels, attacks),)

        return measured

    @torch.no_grad()
    def _subset_losses(self, images: Tensor, labels: Tensor, subset: Tensor) -> Outputs:
        with self.arithmetic(), statistics_of(self.training.classifier, subset):
            return (loss_of(self.network)(images, labels),)
