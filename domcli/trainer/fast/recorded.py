"""Steps of fixed shapes, each recorded once and replayed: on CUDA a step is then launched as one graph.

What depends on data may change neither shapes nor which operations are done. Hence DOM_DA's subset of high-confidence
patterns goes through the network with the whole batch, and batch norm takes its statistics from the subset alone. The
last, smaller batch of an epoch is done one operation at a time. Draws of operations (AugMix, RandAugment) are made on
the host between two recordings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from domcli.trainer.distraction import kept_patterns, patterns_to_augment
from domcli.trainer.engine import Engine
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
done.
"""


@contextmanager
def restored(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Put back the values of tensors afterwards, whatever happens."""
    values = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)


class RecordingEngine(Engine):
    """Records each kind of step when it first comes, and replays it from then on."""

    def __init__(self, training: Training, recorder: Recorder) -> None:
        super().__init__(training)
        self._recorder = recorder
        self._recorded: dict[Hashable, Function] = {}
        self._problem: str | None = None
        self._lr = torch.zeros((), device=training.device)

    def describe(self) -> dict[str, str]:
        """Return what environment.json says of how steps are done."""
        if self._problem is not None:
            return {**super().describe(), "no_graphs": self._problem}
        return {"steps": "CUDA graphs", **self.about_network}

    def step(self, index: Tensor, lr: float, dom_active: bool) -> None:
        """Train on the patterns at `index` (see Engine)."""
        if self._problem is not None or len(index) != self._training.settings.train.batch_size:
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
        """Return summed loss and hits of a batch (see Engine)."""
        if self._problem is not None:
            return super().measure(pixels, labels, attacks)

        def measured(pixels: Tensor, labels: Tensor) -> Outputs:
            with self.arithmetic():
                return (self.attacked_sums(pixels, labels, attacks),)

        (sums,) = self._run(("measure", attacks, len(labels)), measured, pixels, labels)
        return sums.clone()

    def _run(self, kind: Hashable, function: Function, *inputs: Tensor) -> Outputs:
        if kind not in self._recorded and self._problem is None:
            try:
                self._recorded[kind] = self._recorder(function, inputs, self._changed())
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                self._give_up(error)
        return self._recorded.get(kind, function)(*inputs)

    def _give_up(self, error: RuntimeError) -> None:
        self._problem = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        self._recorded.clear()
        log.warning("steps are not recorded as CUDA graphs, and take longer: %s", self._problem)

    def _changed(self) -> list[Tensor]:
        """Return every tensor that a step changes and a later one reads."""
        training = self._training
        buffers = list(training.classifier.buffers())
        record = [training.record.natural, training.record.adversarial]
        return [*training.optimizer.parameters, *training.optimizer.velocity, *buffers, *record, training.meter.sums]

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
        before = [buffer.clone() for buffer in training.classifier.buffers()]
        with self.arithmetic():
            natural = Judgement(losses, correct)
            outcome = update(self.network, images, labels, training.plan, True, natural, augmented=chosen)
        if training.plan.attack is None:
            # Where nothing was augmented this pass repeats the natural one, which has moved the statistics already.
            for buffer, old in zip(training.classifier.buffers(), before, strict=True):
                buffer.copy_(torch.where(chosen.any(), buffer, old))
        self.finish(index, lr, outcome)
        return ()
