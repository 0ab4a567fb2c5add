"""Lautum pre-transfer (Eq. 2): maximises the Lautum information of target images and logits, here for the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lautum.lazy import torch
from lautum.objectives import source_only, two_stream
from lautum.objectives.settings import setting
from lautum.objectives.two_stream import Stream

if TYPE_CHECKING:
    from torch import Tensor

    from lautum.data.transforms import InputTransform
    from lautum.training.batches import StageData
    from lautum.training.networks import Network


class Settings(source_only.Settings):
    """Cross-entropy on the source - weight * L(w; x_target), Eq. 2."""

    needs_target: ClassVar[bool] = True
    weight: float = setting(
        3e-3,
        "per nat, beside the mean cross-entropy",
        "chosen: 0.3 beside a sum over 100 images; Eq. 2 has a sum",
        "lambda of Eq. 2",
        ge=0,
    )
    rank: int = setting(
        50,
        "principal components",
        "chosen: bias r K / (2 n_eff) stays below 0.01 nats",
        "kept input dimensions r",
        ge=1,
    )
    decay: float = setting(
        0.99, "per step", "chosen: averages about 200 batches", "EMA weight of the past, alpha", ge=0, lt=1
    )
    ridge: float = setting(
        1e-3, "fraction of tr(Sw)/K", "chosen: rho_max < 0.9995 for logits of equal variance", "ridge on Sw", gt=0
    )


class Objective(two_stream.Objective):
    """Mean source cross-entropy - weight * L(w; x_target).

    The base of its variants, which replace the information, its sign, or what it is taken between.
    """

    settings: Settings
    information = "lautum_information"  # a function of `lautum.information`, and its name in the training curve
    sign = -1  # of the term in the loss: the information is maximised

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        from lautum import information, regularizer  # import torch

        super().__init__(network, data, settings, seed)
        pool = pool_stream(network, data.transform, self.unlabelled)
        self.regularizer = regularizer.LautumRegularizer(
            *self.pair(pool), settings.rank, settings.decay, settings.ridge, getattr(information, self.information)
        )

    def pair(self, target: Stream) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) and outputs (B, K) whose information is taken: of a batch, and of the pool at the start."""
        return target.inputs, target.logits

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        information = self.regularizer(*self.pair(target))
        return self.sign * self.settings.weight * information, {self.information: information.detach()}

    def diagnostics(self) -> dict[str, float]:
        return {"rho_max": float(self.regularizer.canonical_correlations()[0])}

    def parts(self) -> dict:
        return super().parts() | {"regularizer": self.regularizer}


def pool_stream(network: Network, transform: InputTransform, images: Tensor) -> Stream:
    """A whole pool of uint8 images (N, C, H, W), without augmentation, and the network's outputs in evaluation mode."""
    network.eval()
    with torch.no_grad():
        inputs = torch.cat([transform(batch) for batch in images.split(250)])
        features = torch.cat([network.features(batch) for batch in inputs.split(250)])
        logits = torch.cat([network.head(batch) for batch in features.split(250)])
    network.train()
    return Stream(inputs, features, logits)
