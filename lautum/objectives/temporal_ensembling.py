"""Temporal Ensembling in the post-transfer stage (Laine & Aila 2017, after the authors' text and published code).

Once per epoch every target image, labelled or not, is seen once. After the epoch its prediction z (softmax output in
training mode, with dropout and augmentation) enters the ensemble, Z <- a Z + (1 - a) z, and the next epoch's target is
Z / (1 - a^t) after t epochs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lautum.lazy import F, torch
from lautum.objectives.settings import TransferSettings, setting
from lautum.seeds import generator
from lautum.training import objective
from lautum.training.batches import StageData
from lautum.training.objective import Step

if TYPE_CHECKING:
    from lautum.training.networks import Network


class Settings(TransferSettings):
    """Temporal Ensembling (Laine & Aila 2017): one shuffled pass over all target images per epoch."""

    epochs: int = setting(
        60, "passes over the target", "chosen: a fifth of Laine & Aila's 300", "length of the stage", ge=2
    )
    weight: float = setting(
        30.0, "per unit squared difference", "inferred: Laine & Aila's w_max", "w_max, before the factor M/N", ge=0
    )
    ensemble_decay: float = setting(0.6, "per epoch", "inferred: Laine & Aila", "decay of the ensemble Z", ge=0, lt=1)
    ramp_up: float = setting(
        80 / 300,
        "fraction of the epochs",
        "inferred: Laine & Aila, 80 of 300",
        "ramp-up of weight and rate",
        ge=0,
        le=1,
    )
    ramp_down: float = setting(
        50 / 300, "fraction of the epochs", "inferred: Laine & Aila, 50 of 300", "ramp-down of the rate", ge=0, le=1
    )


class Objective(objective.Objective):
    """Cross-entropy of the labelled images, averaged over the whole batch, + w(t) * mean squared difference to
    the ensemble's target.
    """

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        self.network, self.data, self.settings = network, data, settings
        labels = data.labelled.labels
        assert data.unlabelled is not None, "the post-transfer stage is given the unlabelled target images"
        self.images = torch.cat([data.labelled.images, data.unlabelled])
        # -100 is cross_entropy's ignore_index: the label of an image that has none.
        self.labels = torch.cat([labels, labels.new_full((len(data.unlabelled),), -100)])
        # A single image that would be left over is in the batch before it: alone it has no statistics that a
        # normalisation in training mode could take.
        self.batches = math.ceil((len(self.images) - 1) / settings.batch_size)
        self.steps = settings.epochs * self.batches
        self.order_generator = generator("batch order", "temporal ensembling", seed)
        self.augmentation = generator("augmentation", "temporal ensembling", seed)
        self.order = torch.zeros(len(self.images), dtype=torch.int64, device=labels.device)
        classes = network.head.out_features
        self.ensemble = torch.zeros(len(self.images), classes, device=labels.device)
        self.epoch_predictions = torch.zeros_like(self.ensemble)

    def consistency_weight(self, epoch: int) -> float:
        """w(t): 0 in the first epoch, then w_max M/N exp(-5 (1 - t/T)^2) over the ramp-up of T epochs."""
        if epoch == 0:
            return 0.0
        labelled_fraction = len(self.data.labelled.labels) / len(self.images)
        return self.settings.weight * labelled_fraction * ramp_up(epoch, self.settings)

    def schedule(self, step: int) -> tuple[float, float]:
        epoch = step // self.batches
        down = ramp_down(epoch, self.settings)
        return self.settings.learning_rate * ramp_up(epoch, self.settings) * down, 0.5 + 0.4 * down

    def step(self, step: int) -> Step:
        epoch, batch = divmod(step, self.batches)
        if batch == 0:
            self._start_epoch(epoch)
        start, last = batch * self.settings.batch_size, batch == self.batches - 1
        index = self.order[start:] if last else self.order[start : start + self.settings.batch_size]
        logits = self.network(self.data.transform(self.images[index], self.augmentation))
        labels = self.labels[index]
        cross_entropy = F.cross_entropy(logits, labels, reduction="sum") / len(index)
        predictions = logits.softmax(dim=1)
        self.epoch_predictions[index] = predictions.detach()
        weight = self.consistency_weight(epoch)
        targets = self.ensemble[index] / max(1 - self.settings.ensemble_decay**epoch, 1e-12)
        consistency = F.mse_loss(predictions, targets)
        scalars = {"cross_entropy": cross_entropy.detach(), "consistency": consistency.detach()}
        scalars |= {"consistency_weight": torch.tensor(weight)}
        return Step(cross_entropy + weight * consistency, len(index), scalars)

    def _start_epoch(self, epoch: int) -> None:
        if epoch > 0:
            self.ensemble.lerp_(self.epoch_predictions, 1 - self.settings.ensemble_decay)
        self.order = torch.randperm(len(self.images), generator=self.order_generator).to(self.images.device)

    def parts(self) -> dict:
        own = {"order": self.order, "ensemble": self.ensemble, "epoch_predictions": self.epoch_predictions}
        return own | {"order_generator": self.order_generator, "augmentation": self.augmentation}


def ramp_up(epoch: int, settings: Settings) -> float:
    """exp(-5 (1 - t/T)^2) for epoch t below the ramp-up of T epochs, then 1."""
    length = settings.ramp_up * settings.epochs
    return math.exp(-5 * (1 - epoch / length) ** 2) if epoch < length else 1.0


def ramp_down(epoch: int, settings: Settings) -> float:
    """exp(-12.5 s^2) for the fraction s of the ramp-down that has passed; 1 before it."""
    length = settings.ramp_down * settings.epochs
    remaining = settings.epochs - epoch
    return math.exp(-12.5 * (1 - remaining / length) ** 2) if remaining < length else 1.0
