"""Placebo: the Lautum term on *source* images, for which no theorem promises anything about the target.

The target is never seen. The pool from which the moving average starts are the first source images in batch order.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from lautum.objectives import source_only
from lautum.objectives.lautum import pool_stream
from lautum.objectives.settings import LautumSource
from lautum.regularizer import LautumRegularizer
from lautum.training.loop import StageData

POOL = 5000  # images, about as many as there are unlabelled target images


class Objective(source_only.Objective):
    """Mean source cross-entropy - weight * L(w; x_source)."""

    def __init__(self, network: nn.Module, data: StageData, settings: LautumSource, seed: int):
        super().__init__(network, data, settings, seed)
        pool = pool_stream(network, data.transform, data.labelled.images[self.source_order.order[:POOL]])
        self.regularizer = LautumRegularizer(pool.inputs, pool.logits, settings.rank, settings.decay, settings.ridge)

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        inputs, labels = self.source_batch()
        logits = self.network(inputs)
        cross_entropy = F.cross_entropy(logits, labels)
        information = self.regularizer(inputs, logits)
        scalars = {"images": len(inputs), "lautum_information": information.detach()}
        scalars |= source_only.source_scalars(cross_entropy, logits, labels)
        return cross_entropy - self.settings.weight * information, scalars

    def diagnostics(self) -> dict[str, float]:
        return {"rho_max": float(self.regularizer.canonical_correlations()[0])}

    def state(self) -> dict[str, Tensor]:
        return super().state() | {f"regularizer/{key}": value for key, value in self.regularizer.state_dict().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.regularizer.load_state_dict({key: state[f"regularizer/{key}"] for key in self.regularizer.state_dict()})
