"""Pre-transfer on the labelled source alone (Eq. 2 without the Lautum term): the first stage of standard and TE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lautum.lazy import F
from lautum.objectives.settings import PretrainSettings, setting
from lautum.seeds import generator
from lautum.training import objective
from lautum.training.batches import ShuffledBatches, StageData
from lautum.training.objective import Step

if TYPE_CHECKING:
    from torch import Tensor

    from lautum.training.networks import Network


class Settings(PretrainSettings):
    """Cross-entropy on the source: Eq. 2 without the Lautum term."""

    steps: int = setting(
        1000,
        "optimiser steps",
        "chosen: two passes over MNIST; on CIFAR-10, or with a Lautum term, source accuracy still rises after them",
        "length of the stage",
        ge=1,
    )


class Objective(objective.Objective):
    """Mean cross-entropy over a batch of source images.

    Also the base of the objectives that add a term.
    """

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        self.network, self.data, self.settings = network, data, settings
        self.steps = settings.steps
        device = data.labelled.labels.device
        self.source_order = ShuffledBatches(len(data.labelled.labels), settings.batch_size, device, "source", seed)
        self.source_augmentation = generator("augmentation", "source", seed)

    def schedule(self, step: int) -> tuple[float, float]:
        return self.settings.learning_rate, 0.9

    def source_batch(self) -> tuple[Tensor, Tensor]:
        """The next source inputs (B, C, H, W) and labels (B,)."""
        index = self.source_order.next()
        images = self.data.labelled.images[index]
        return self.data.transform(images, self.source_augmentation), self.data.labelled.labels[index]

    def step(self, step: int) -> Step:
        inputs, labels = self.source_batch()
        logits = self.network(inputs)
        loss = F.cross_entropy(logits, labels)
        return Step(loss, len(inputs), source_scalars(loss, logits, labels))

    def parts(self) -> dict:
        return {"source_order": self.source_order, "source_augmentation": self.source_augmentation}


def source_scalars(cross_entropy: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy and accuracy on the source batch, for the training curve."""
    accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
    return {"source_cross_entropy": cross_entropy.detach(), "source_accuracy": accuracy}
