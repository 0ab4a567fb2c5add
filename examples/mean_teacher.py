"""Mean Teacher in the post-transfer stage (Tarvainen & Valpola 2017).

A teacher, whose weights are a moving average of the trained network's, sees the same target images with other dropout
and augmentation; the network's predictions are held to the teacher's. The stage ends with the teacher's weights.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from lautum.lazy import F, torch
from lautum.objectives.settings import TransferSettings, setting
from lautum.seeds import generator
from lautum.training import objective
from lautum.training.batches import ShuffledBatches, StageData
from lautum.training.objective import Step

if TYPE_CHECKING:
    from lautum.training.networks import Network


class Settings(TransferSettings):
    """Cross-entropy on labelled target images + weight * mean squared difference to the teacher's predictions."""

    steps: int = setting(400, "optimiser steps", "chosen: as supervised", "length of the stage", ge=1)
    weight: float = setting(
        10.0, "per unit squared difference", "chosen: not tuned; the authors' 100 is for longer training", "w_max", ge=0
    )
    ramp_up: float = setting(0.3, "fraction of the steps", "chosen: about that of TE", "ramp-up of w", ge=0, le=1)
    teacher_decay: float = setting(
        0.99, "per step", "inferred: Tarvainen & Valpola, while ramping up", "EMA weight of the past", ge=0, lt=1
    )


class Objective(objective.Objective):
    """Mean cross-entropy over labelled images + w(t) * mean squared difference to the teacher over all images."""

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        from lautum.training.networks import set_dropout_generator  # imports torch

        self.network, self.data, self.settings, self.steps = network, data, settings, settings.steps
        assert data.unlabelled is not None, "the post-transfer stage is given the unlabelled target images"
        self.unlabelled, device = data.unlabelled, data.labelled.labels.device
        self.order = ShuffledBatches(len(data.labelled.labels), settings.batch_size, device, "labelled", seed)
        self.target_order = ShuffledBatches(len(self.unlabelled), settings.batch_size, device, "unlabelled", seed)
        # Its own noise and augmentation for each of the two, so that they differ.
        self.augmentation, self.teacher_augmentation = (
            generator("augmentation", name, seed) for name in ("labelled", "mean teacher")
        )
        self.noise = generator("dropout", "mean teacher", seed, device=device)
        self.teacher = copy.deepcopy(network).train().requires_grad_(False)
        set_dropout_generator(self.teacher, self.noise)

    def schedule(self, step: int) -> tuple[float, float]:
        return self.settings.learning_rate, 0.9

    def step(self, step: int) -> Step:
        if step > 0:
            self.update_teacher(step)
        labelled = self.order.next()
        images = torch.cat([self.data.labelled.images[labelled], self.unlabelled[self.target_order.next()]])
        logits = self.network(self.data.transform(images, self.augmentation))
        with torch.no_grad():
            targets = self.teacher(self.data.transform(images, self.teacher_augmentation)).softmax(dim=1)
        cross_entropy = F.cross_entropy(logits[: len(labelled)], self.data.labelled.labels[labelled])
        consistency = F.mse_loss(logits.softmax(dim=1), targets)
        scalars = {"cross_entropy": cross_entropy.detach(), "consistency": consistency.detach()}
        return Step(cross_entropy + self.consistency_weight(step) * consistency, len(images), scalars)

    def consistency_weight(self, step: int) -> float:
        """w(t) = w_max exp(-5 (1 - t/T)^2) during the ramp-up of T steps, then w_max."""
        length = self.settings.ramp_up * self.steps
        return self.settings.weight * (math.exp(-5 * (1 - step / length) ** 2) if step < length else 1.0)

    def update_teacher(self, step: int) -> None:
        """Average in the weights after `step` steps; a true mean at first, as in the authors' code."""
        decay = min(1 - 1 / (step + 1), self.settings.teacher_decay)
        for average, weight in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            average.lerp_(weight.detach(), 1 - decay)

    def finish(self) -> None:
        self.update_teacher(self.steps)
        self.network.load_state_dict(self.teacher.state_dict())

    def parts(self) -> dict:
        return {
            "order": self.order,
            "target_order": self.target_order,
            "augmentation": self.augmentation,
            "teacher_augmentation": self.teacher_augmentation,
            "noise": self.noise,
            "teacher": self.teacher,
        }
