"""Lautum in the post-transfer stage, which "does not lead to improved results" in the paper (section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lautum.lazy import F, torch
from lautum.objectives import supervised
from lautum.objectives.lautum import pool_stream
from lautum.objectives.settings import setting
from lautum.seeds import generator
from lautum.training.batches import ShuffledBatches, StageData
from lautum.training.objective import Step

if TYPE_CHECKING:
    from lautum.training.networks import Network


class Settings(supervised.Settings):
    """Cross-entropy on the labelled target images - weight * L(w; x_target) on the unlabelled ones (section 3)."""

    weight: float = setting(3e-3, "per nat", "chosen: as in the pre-transfer stage", "weight of the Lautum term", ge=0)
    rank: int = setting(
        50, "principal components", "chosen: as in the pre-transfer stage", "kept input dimensions r", ge=1
    )
    decay: float = setting(
        0.99, "per step", "chosen: as in the pre-transfer stage", "EMA weight of the past", ge=0, lt=1
    )
    ridge: float = setting(1e-3, "fraction of tr(Sw)/K", "chosen: as in the pre-transfer stage", "ridge on Sw", gt=0)


class Objective(supervised.Objective):
    """Mean cross-entropy over labelled target images (Eq. 3) - weight * L(w; x) over unlabelled ones."""

    settings: Settings

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        from lautum.regularizer import LautumRegularizer  # imports torch

        super().__init__(network, data, settings, seed)
        assert data.unlabelled is not None, "the post-transfer stage is given the unlabelled target images"
        self.unlabelled = data.unlabelled
        pool = pool_stream(network, data.transform, self.unlabelled)
        self.regularizer = LautumRegularizer(pool.inputs, pool.logits, settings.rank, settings.decay, settings.ridge)
        self.target_order = ShuffledBatches(
            len(self.unlabelled), settings.batch_size, self.unlabelled.device, "unlabelled", seed
        )
        self.target_augmentation = generator("augmentation", "unlabelled", seed)

    def step(self, step: int) -> Step:
        labelled, labels = self.labelled_batch()
        target = self.data.transform(self.unlabelled[self.target_order.next()], self.target_augmentation)
        logits = self.network(torch.cat([labelled, target]))
        cross_entropy = F.cross_entropy(logits[: len(labelled)], labels)
        information = self.regularizer(target, logits[len(labelled) :])
        scalars = {"cross_entropy": cross_entropy.detach(), "lautum_information": information.detach()}
        return Step(cross_entropy - self.settings.weight * information, len(labelled) + len(target), scalars)

    def diagnostics(self) -> dict[str, float]:
        return {"rho_max": float(self.regularizer.canonical_correlations()[0])}

    def parts(self) -> dict:
        own = {"target_order": self.target_order, "target_augmentation": self.target_augmentation}
        return super().parts() | own | {"regularizer": self.regularizer}
