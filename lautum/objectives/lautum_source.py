"""Placebo: the Lautum term on *source* images, for which no theorem promises anything about the target.

The target is never seen. The pool from which the moving average starts are the first source images in batch order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lautum.lazy import F
from lautum.objectives import lautum, source_only
from lautum.training.objective import Step

if TYPE_CHECKING:
    from lautum.training.batches import StageData
    from lautum.training.networks import Network

POOL = 5000  # images, about as many as there are unlabelled target images


class Settings(lautum.Settings):
    """Placebo: as `lautum.Settings`, of source images and their logits."""

    needs_target: ClassVar[bool] = False


class Objective(source_only.Objective):
    """Mean source cross-entropy - weight * L(w; x_source)."""

    settings: Settings

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        from lautum.regularizer import LautumRegularizer  # imports torch

        super().__init__(network, data, settings, seed)
        pool = lautum.pool_stream(network, data.transform, data.labelled.images[self.source_order.order[:POOL]])
        self.regularizer = LautumRegularizer(pool.inputs, pool.logits, settings.rank, settings.decay, settings.ridge)

    def step(self, step: int) -> Step:
        inputs, labels = self.source_batch()
        logits = self.network(inputs)
        cross_entropy = F.cross_entropy(logits, labels)
        information = self.regularizer(inputs, logits)
        scalars = {"lautum_information": information.detach()}
        scalars |= source_only.source_scalars(cross_entropy, logits, labels)
        return Step(cross_entropy - self.settings.weight * information, len(inputs), scalars)

    def diagnostics(self) -> dict[str, float]:
        return {"rho_max": float(self.regularizer.canonical_correlations()[0])}

    def parts(self) -> dict:
        return super().parts() | {"regularizer": self.regularizer}
