"""Lautum pre-transfer (Eq. 2): maximises the Lautum information between target images and their logits."""

import torch
from torch import Tensor, nn

from lautum.data.transforms import InputTransform
from lautum.information import lautum_information
from lautum.objectives import two_stream
from lautum.objectives.settings import Lautum
from lautum.objectives.two_stream import Stream
from lautum.regularizer import LautumRegularizer
from lautum.training.loop import StageData


class Objective(two_stream.Objective):
    """Mean source cross-entropy - weight * L(w; x_target).

    The base of its variants, which replace what is between the information and the sign.
    """

    information = staticmethod(lautum_information)
    sign = -1  # of the term in the loss: the information is maximised

    def __init__(self, network: nn.Module, data: StageData, settings: Lautum, seed: int):
        super().__init__(network, data, settings, seed)
        pool = pool_stream(network, data.transform, data.unlabelled)
        self.regularizer = LautumRegularizer(
            *self.pair(pool), settings.rank, settings.decay, settings.ridge, self.information
        )

    def pair(self, target: Stream) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) and outputs (B, K) whose information is taken: of a batch, and of the pool at the start."""
        return target.inputs, target.logits

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        information = self.regularizer(*self.pair(target))
        name = self.information.__name__
        return self.sign * self.settings.weight * information, {name: information.detach()}

    def diagnostics(self) -> dict[str, float]:
        return {"rho_max": float(self.regularizer.canonical_correlations()[0])}

    def state(self) -> dict[str, Tensor]:
        return super().state() | {f"regularizer/{key}": value for key, value in self.regularizer.state_dict().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.regularizer.load_state_dict({key: state[f"regularizer/{key}"] for key in self.regularizer.state_dict()})


@torch.no_grad()
def pool_stream(network: nn.Module, transform: InputTransform, images: Tensor) -> Stream:
    """A whole pool of uint8 images (N, C, H, W), without augmentation, and the network's outputs in evaluation mode."""
    network.eval()
    inputs = torch.cat([transform(batch) for batch in images.split(250)])
    features = torch.cat([network.features(batch) for batch in inputs.split(250)])
    logits = torch.cat([network.head(batch) for batch in features.split(250)])
    network.train()
    return Stream(inputs, features, logits)
