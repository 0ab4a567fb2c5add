"""Post-transfer on the labelled target images alone (Eq. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt, model_validator

from lautum.lazy import F
from lautum.objectives.settings import TransferSettings, setting
from lautum.seeds import generator
from lautum.training import objective
from lautum.training.batches import ShuffledBatches, StageData
from lautum.training.objective import Step

if TYPE_CHECKING:
    from torch import Tensor

    from lautum.training.networks import Network


class Settings(TransferSettings):
    """Cross-entropy on the labelled target images, Eq. 3. A pass over them is one of whole batches."""

    steps: int = setting(400, "optimiser steps", "chosen: training loss has levelled off", "length of the stage", ge=1)
    labelled_epochs: int | None = setting(
        None,
        "passes over the labelled images",
        "chosen: the main text does not say how long it trains, in steps or in passes",
        "length of the stage, instead of steps",
        silent=None,
        ge=1,
    )
    snapshots: tuple[PositiveInt, ...] = setting(
        (),
        "optimiser steps",
        "chosen: none",
        "the network is evaluated after each of these too, as a shorter stage would have left it",
        silent=(),
    )

    @model_validator(mode="after")
    def _one_length(self):
        if self.labelled_epochs is not None and {"steps", "snapshots"} & self.model_fields_set:
            raise ValueError(
                f"labelled_epochs: {self.labelled_epochs} stands instead of steps and snapshots; give one; null takes "
                "an inherited one away"
            )
        if list(self.snapshots) != sorted(set(self.snapshots)) or max(self.snapshots, default=0) >= self.steps:
            raise ValueError(
                f"snapshots must increase and end before the stage's {self.steps} steps, got {list(self.snapshots)}"
            )
        return self


class Objective(objective.Objective):
    """Mean cross-entropy over a batch of labelled target images."""

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        self.network, self.data, self.settings = network, data, settings
        device = data.labelled.labels.device
        self.order = ShuffledBatches(len(data.labelled.labels), settings.batch_size, device, "labelled", seed)
        self.steps = settings.steps
        if settings.labelled_epochs is not None:
            self.steps = settings.labelled_epochs * (len(data.labelled.labels) // self.order.batch_size)
        self.augmentation = generator("augmentation", "labelled", seed)

    def schedule(self, step: int) -> tuple[float, float]:
        return self.settings.learning_rate, 0.9

    def labelled_batch(self) -> tuple[Tensor, Tensor]:
        """The next labelled target inputs (B, C, H, W) and labels (B,)."""
        index = self.order.next()
        images = self.data.labelled.images[index]
        return self.data.transform(images, self.augmentation), self.data.labelled.labels[index]

    def step(self, step: int) -> Step:
        inputs, labels = self.labelled_batch()
        return Step(F.cross_entropy(self.network(inputs), labels), len(inputs), {})

    def parts(self) -> dict:
        return {"order": self.order, "augmentation": self.augmentation}
