"""Steps of fixed shapes, each recorded once and replayed: on CUDA a step is then launched as one graph.

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
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from domcli.memory import is_out_of_memory
from domcli.trainer.anew import BrokenRecording
from domcli.trainer.distraction import kept_patterns, patterns_to_augment
from domcli.trainer.engine import WRITTEN, Engine
from domcli.trainer.models import SMALLEST_FOR_ONE
from domcli.trainer.step import Judgement, judge, loss_of, update

if TYPE_CHECKING:
    from domcli.trainer.evaluate import Attacks
    from domcli.trainer.state import Training

log = logging.getLogger(__name__)

Outputs = tuple[Tensor, ...]
Function = Callable[..., Outputs]
Recorder = Callable[[Function, Sequence[Tensor], Sequence[Tensor]], Function]
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


def unrecorded(function: Function, inputs: Sequence[Tensor], changed: Sequence[Tensor]) -> Function:
    """Return the function as it is: the recorder that records nothing."""
    del inputs, changed
    return function


class RecordingEngine(Engine):
    """Records each kind of step when it first comes, and replays it from then on."""

    def __init__(self, training: Training, recorder: Recorder) -> None:
        # Graphs of an earlier training of this process end now: when one ends, PyTorch 2.12 to 2.14 free workspaces of
        # cuBLAS that those recorded on the same stream still use.
        gc.collect()
        super().__init__(training)
        self._recorder = recorder
        self._recorded: dict[Hashable, Function] = {}
        self._lr = torch.zeros((), device=training.device)

    def describe(self) -> dict[str, str]:
        """Return what environment.json says of how steps are done (see Engine)."""
        if self._no_graphs is not None:
            return super().describe()
        return {"steps": "CUDA graphs", **self.about_network}

    def step(self, index: Tensor, lr: float, dom_active: bool) -> None:
        """Train on the patterns at `index` (see Engine)."""
        if self._no_graphs is not None:
            super().step(index, lr, dom_active)
            return
        images, labels = self.batch(index)
        self._lr.fill_(lr)
        plan = self._training.plan
        if not dom_active or plan.distract is None:
            self._run(("learn", dom_active), self._learned(dom_active), index, self._lr, images, labels)
        elif images.shape[-1] <= SMALLEST_FOR_ONE:
            with self.arithmetic():
                outcome = self.learn(images, labels, dom_active)
            self.finish(index, lr, outcome)
        else:
            self._distract(index, images, labels)

    def measure(self, pixels: Tensor, labels: Tensor, attacks: Attacks) -> Tensor:
        """Return summed loss and hits of a batch (see Engine).

        Raises the error that says so where memory does not suffice: fewer images at a time may still be recorded.
        """
        if self._no_graphs is not None:
            return super().measure(pixels, labels, attacks)
        (sums,) = self._run(("measure", attacks), self._measured(attacks), pixels, labels, divisible=True)
        return sums.clone()

    def rehearse(self, attacks: Attacks, tested: int) -> None:
        """Do once, unrecorded, each kind of pass that the run will do, and leave everything as it was.

        `attacks` are those on the test set, of which `tested` images at a time are evaluated.
        """
        training, plan = self._training, self._training.plan
        index = torch.arange(min(training.settings.train.batch_size, training.patterns), device=training.device)
        devices = [training.device] if training.device.type == "cuda" else []
        with restored(self._changed()), torch.random.fork_rng(devices):
            images, labels = self.batch(index)
            self._lr.zero_()
            self._learned(dom_active=plan.distract is None)(index, self._lr, images, labels)
            if plan.distract is not None:
                losses, correct = self._judged(images, labels)
                some = index % 2 == 0
                self._subset_losses(images, labels, some)
                self._updated(index, self._lr, images, labels, losses, correct, some)
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
        if self.network is not self._training.classifier:
            self.network = self._training.classifier
            self.about_network = {"network": WRITTEN, "not_compiled": "there are no CUDA graphs"}
        log.warning("steps are not recorded as CUDA graphs, and take longer: %s", problem)

    def _run(self, kind: Hashable, function: Function, *inputs: Tensor, divisible: bool = False) -> Outputs:
        key = (kind, len(inputs[0]))
        if key not in self._recorded and self._no_graphs is None:
            try:
                self._recorded[key] = self._recorder(function, inputs, self._changed())
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if divisible and is_out_of_memory(error):
                    raise
                self.give_up(first_line(error))
        return self._recorded.get(key, function)(*inputs)

    def _changed(self) -> list[Tensor]:
        """Return every tensor that a step changes and a later one reads."""
        training = self._training
        statistics = training.classifier.statistics()
        record = [training.record.natural, training.record.adversarial]
        return [*training.optimizer.parameters, *training.optimizer.velocity, *statistics, *record, training.meter.sums]

    def _measured(self, attacks: Attacks) -> Function:
        def measured(pixels: Tensor, labels: Tensor) -> Outputs:
            with self.arithmetic():
                return (self.attacked_sums(pixels, labels, attacks),)

        return measured

    def _learned(self, dom_active: bool) -> Function:
        def learned(index: Tensor, lr: Tensor, images: Tensor, labels: Tensor) -> Outputs:
            with self.arithmetic():
                outcome = self.learn(images, labels, dom_active)
            self.finish(index, lr, outcome)
            return ()

        return learned

    def _distract(self, index: Tensor, images: Tensor, labels: Tensor) -> None:
        """Do a step with DOM_DA (see distraction.augment_iteratively) without asking which patterns it is about."""
        plan = self._training.plan
        assert plan.distract is not None
        losses, correct = self._run("judge", self._judged, images, labels)
        losses, correct = losses.clone(), correct.clone()
        chosen = todo = patterns_to_augment(losses, plan.threshold)
        for iteration in range(1, plan.iterations + 1):
            augmented = plan.distract(images)
            (found,) = self._run("subset", self._subset_losses, augmented, labels, todo)
            done = kept_patterns(found, plan.threshold)
            beta = 1.0 if iteration == plan.iterations else plan.strength
            taken = torch.where(done.view(-1, 1, 1, 1), augmented, images * (1 - beta) + augmented * beta)
            images = torch.where(todo.view(-1, 1, 1, 1), taken, images)
            todo = todo & ~done
        self._run("update", self._updated, index, self._lr, images, labels, losses, correct, chosen)

    @torch.no_grad()
    def _judged(self, images: Tensor, labels: Tensor) -> Outputs:
        with self.arithmetic():
            judged = judge(self.network, images, labels, with_graph=False)
        return judged.losses, judged.correct

    @torch.no_grad()
    def _subset_losses(self, images: Tensor, labels: Tensor, subset: Tensor) -> Outputs:
        with self.arithmetic(), self._training.classifier.statistics_of(subset):
            return (loss_of(self.network)(images, labels),)

    def _updated(
        self,
        index: Tensor,
        lr: Tensor,
        images: Tensor,
        labels: Tensor,
        losses: Tensor,
        correct: Tensor,
        chosen: Tensor,
    ) -> Outputs:
        training = self._training
        training.optimizer.zero_grad()
        statistics = training.classifier.statistics()
        before = [running.clone() for running in statistics]
        with self.arithmetic():
            natural = Judgement(losses, correct)
            outcome = update(self.network, images, labels, training.plan, True, natural, augmented=chosen)
        if training.plan.attack is None:
            # Where nothing was augmented this pass repeats the natural one, which has moved the statistics already.
            for running, old in zip(statistics, before, strict=True):
                running.copy_(torch.where(chosen.any(), running, old))
        self.finish(index, lr, outcome)
        return ()
