"""Everything that a run consists of while it trains: what a checkpoint keeps, and what it is rebuilt from."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from domcli.catalogue import NETWORKS
from domcli.settings import Settings
from domcli.trainer import contracts
from domcli.trainer import device as devices
from domcli.trainer.data import Dataset
from domcli.trainer.memorization import MemorizationRecord
from domcli.trainer.meter import EpochMeter
from domcli.trainer.models import Classifier, build
from domcli.trainer.optimizer import SGD
from domcli.trainer.plan import Plan

LR_TYPES = {"cpu": torch.float64, "cuda": torch.float32}
"""What the fused update reads on each device."""


@dataclass
class Training:
    """The state of a run after `epoch` epochs and `step` steps of the next."""

    settings: Settings
    device: torch.device
    precision: torch.dtype
    dataset: Dataset
    classifier: Classifier
    optimizer: SGD
    plan: Plan
    record: MemorizationRecord
    meter: EpochMeter
    lr: Tensor
    """The learning rate of the step: of no dimensions; on CUDA float32, for a recorded step reads it there."""
    threshold: Tensor
    """`dom.threshold`: of no dimensions, float32."""
    epoch: int = 0
    step: int = 0
    best: float = 0.0
    """Highest accuracy so far on the test set: PGD where it is evaluated, else natural; a fraction."""
    seconds: float = 0.0
    """Training and evaluation time of the finished epochs, over all resumes."""
    epoch_seconds: float = 0.0
    """Training time of the current epoch so far, over all resumes."""
    patterns: int = field(init=False)
    steps_per_epoch: int = field(init=False)

    def __post_init__(self) -> None:
        self.patterns = len(self.dataset.train.labels)
        self.steps_per_epoch = -(-self.patterns // self.settings.train.batch_size)

    @property
    def batches(self) -> int:
        """How many batches the network has been trained on."""
        return self.epoch * self.steps_per_epoch + self.step

    @classmethod
    def fresh(cls, settings: Settings, dataset: Dataset, device: torch.device) -> Training:
        """Return a run before its first step, the network initialised from the seed alone."""
        torch.manual_seed(settings.train.seed)
        network = build(settings.model, dataset.train.images.shape[1], len(dataset.class_names), settings.options)
        contracts.check_network(
            NETWORKS[settings.model.name], network, dataset.train.images.shape[1:], len(dataset.class_names)
        )
        classifier = Classifier(network, dataset.mean, dataset.std)
        classifier.to(device).to(memory_format=torch.channels_last)
        threshold = torch.tensor(settings.dom.threshold, dtype=torch.float32, device=device)
        return cls(
            settings=settings,
            device=device,
            precision=devices.resolve_precision(settings.train.precision, device),
            dataset=dataset,
            classifier=classifier.train(),
            optimizer=SGD(classifier.parameters(), settings.train.momentum, settings.train.weight_decay),
            plan=Plan.of(settings),
            record=MemorizationRecord(len(dataset.train.labels), threshold, device),
            meter=EpochMeter(device),
            lr=torch.zeros((), dtype=LR_TYPES[device.type], device=device),
            threshold=threshold,
        )
