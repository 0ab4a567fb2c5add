"""Lautum in the post-transfer stage, which "does not lead to improved results" in the paper (section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lautum.objectives import supervised
from lautum.objectives.lautum import pool_stream
from lautum.objectives.settings import SupervisedLautum
from lautum.regularizer import LautumRegularizer
from lautum.seeds import generator
from lautum.training.loop import ShuffledBatches, StageData


class Objective(supervised.Objective):
    """Mean cross-entropy over labelled target images (Eq. 3) - weight * L(w; x) over unlabelled ones."""

    def __init__(self, network: nn.Module, data: StageData, settings: SupervisedLautum, seed: int):
        super().__init__(network, data, settings, seed)
        pool = pool_stream(network, data.transform, data.unlabelled)
        self.regularizer = LautumRegularizer(pool.inputs, pool.logits, settings.rank, settings.decay, settings.ridge)
        device = data.unlabelled.device
        self.target_order = ShuffledBatches(len(data.unlabelled), settings.batch_size, device, "unlabelled", seed)
        self.target_augmentation = generator("augmentation", "unlabelled", seed)

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        index = self.order.next()
        labelled = self.data.transform(self.data.labelled.images[index], self.augmentation)
        target = self.data.transform(self.data.unlabelled[self.target_order.next()], self.target_augmentation)
        logits = self.network(torch.cat([labelled, target]))
        cross_entropy = F.cross_entropy(logits[: len(labelled)], self.data.labelled.labels[index])
        information = self.regularizer(target, logits[len(labelled) :])
        scalars = {"images": len(labelled) + len(target), "cross_entropy": cross_entropy.detach()}
        scalars |= {"lautum_information": information.detach()}
        return cross_entropy - self.settings.weight * information, scalars

    def diagnostics(self) -> dict[str, float]:
        return {"rho_max": float(self.regularizer.canonical_correlations()[0])}

    def state(self) -> dict[str, Tensor]:
        order = {f"target_order/{key}": value for key, value in self.target_order.state().items()}
        regularizer = {f"regularizer/{key}": value for key, value in self.regularizer.state_dict().items()}
        return super().state() | order | regularizer | {"target_augmentation": self.target_augmentation.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.target_order.restore({key: state[f"target_order/{key}"] for key in self.target_order.state()})
        self.regularizer.load_state_dict({key: state[f"regularizer/{key}"] for key in self.regularizer.state_dict()})
        self.target_augmentation.set_state(state["target_augmentation"])
