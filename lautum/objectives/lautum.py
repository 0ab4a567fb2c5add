"""Lautum pre-transfer (Eq. 2): maximises the Lautum information between target images and their logits."""

import torch
from torch import Tensor, nn

from lautum.objectives import two_stream
from lautum.regularizer import LautumRegularizer
from lautum.settings import Lautum
from lautum.training import StageData


class Objective(two_stream.Objective):
    """Mean source cross-entropy - weight * L(w; x_target)."""

    def __init__(self, network: nn.Module, data: StageData, settings: Lautum, seed: int):
        super().__init__(network, data, settings, seed)
        network.eval()
        with torch.no_grad():
            pool = torch.cat([data.transform(images) for images in data.unlabelled.split(250)])
            logits = torch.cat([network(inputs) for inputs in pool.split(250)])
        network.train()
        self.regularizer = LautumRegularizer(pool, logits, settings.rank, settings.decay, settings.ridge)

    def target_term(
        self, source_features: Tensor, target_features: Tensor, target: Tensor, target_logits: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        information = self.regularizer(target, target_logits)
        return -self.settings.weight * information, {"lautum_information": information.detach()}

    def diagnostics(self) -> dict[str, float]:
        return {"rho_max": float(self.regularizer.canonical_correlations()[0])}

    def state(self) -> dict[str, Tensor]:
        return super().state() | {f"regularizer/{key}": value for key, value in self.regularizer.state_dict().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.regularizer.load_state_dict({key: state[f"regularizer/{key}"] for key in self.regularizer.state_dict()})
