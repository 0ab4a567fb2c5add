"""Temporal Ensembling in the post-transfer stage (Laine & Aila 2017, after the authors' text and published code).

Once per epoch every target image, labelled or not, is seen once. After the epoch its prediction z (softmax output in
training mode, with dropout and augmentation) enters the ensemble, Z <- a Z + (1 - a) z, and the next epoch's target is
Z / (1 - a^t) after t epochs.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lautum.objectives.settings import TemporalEnsembling
from lautum.seeds import generator
from lautum.training.loop import StageData


class Objective:
    """Cross-entropy of the labelled images, averaged over the whole batch, + w(t) * mean squared difference to
    the ensemble's target.
    """

    def __init__(self, network: nn.Module, data: StageData, settings: TemporalEnsembling, seed: int):
        self.network, self.data, self.settings = network, data, settings
        labels = data.labelled.labels
        self.images = torch.cat([data.labelled.images, data.unlabelled])
        # -100 is cross_entropy's ignore_index: the label of an image that has none.
        self.labels = torch.cat([labels, labels.new_full((len(data.unlabelled),), -100)])
        self.batches = math.ceil(len(self.images) / settings.batch_size)
        self.steps = settings.epochs * self.batches
        self.order_generator = generator("batch order", "temporal ensembling", seed)
        self.augmentation = generator("augmentation", "temporal ensembling", seed)
        self.order = torch.empty(0, dtype=torch.int64)
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

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        epoch, batch = divmod(step, self.batches)
        if batch == 0:
            self._start_epoch(epoch)
        size = self.settings.batch_size
        index = self.order[batch * size : (batch + 1) * size]
        logits = self.network(self.data.transform(self.images[index], self.augmentation))
        labels = self.labels[index]
        cross_entropy = F.cross_entropy(logits, labels, reduction="sum") / len(index)
        predictions = logits.softmax(dim=1)
        self.epoch_predictions[index] = predictions.detach()
        weight = self.consistency_weight(epoch)
        targets = self.ensemble[index] / max(1 - self.settings.ensemble_decay**epoch, 1e-12)
        consistency = F.mse_loss(predictions, targets)
        scalars = {"images": len(index), "cross_entropy": cross_entropy.detach(), "consistency": consistency.detach()}
        return cross_entropy + weight * consistency, scalars | {"consistency_weight": torch.tensor(weight)}

    def _start_epoch(self, epoch: int) -> None:
        if epoch > 0:
            self.ensemble.lerp_(self.epoch_predictions, 1 - self.settings.ensemble_decay)
        self.order = torch.randperm(len(self.images), generator=self.order_generator).to(self.images.device)

    def diagnostics(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Tensor]:
        return {
            "order": self.order,
            "order_generator": self.order_generator.get_state(),
            "augmentation": self.augmentation.get_state(),
            "ensemble": self.ensemble,
            "epoch_predictions": self.epoch_predictions,
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        device = self.images.device
        self.order = state["order"].to(device)
        self.order_generator.set_state(state["order_generator"])
        self.augmentation.set_state(state["augmentation"])
        self.ensemble = state["ensemble"].to(device)
        self.epoch_predictions = state["epoch_predictions"].to(device)


def ramp_up(epoch: int, settings: TemporalEnsembling) -> float:
    """exp(-5 (1 - t/T)^2) for epoch t below the ramp-up of T epochs, then 1."""
    length = settings.ramp_up * settings.epochs
    return math.exp(-5 * (1 - epoch / length) ** 2) if epoch < length else 1.0


def ramp_down(epoch: int, settings: TemporalEnsembling) -> float:
    """exp(-12.5 s^2) for the fraction s of the ramp-down that has passed; 1 before it."""
    length = settings.ramp_down * settings.epochs
    remaining = settings.epochs - epoch
    return math.exp(-12.5 * (1 - remaining / length) ** 2) if remaining < length else 1.0
