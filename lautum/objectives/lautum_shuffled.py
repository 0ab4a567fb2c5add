"""Placebo: the Lautum term of logits and the inputs of *other* target images, between which there is no information.

Steps, images and form are Lautum's; only what the term is said to measure is gone. A gain that remains here is not due
to Lautum information.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lautum.lazy import torch
from lautum.objectives import lautum
from lautum.objectives.two_stream import Stream
from lautum.seeds import generator

if TYPE_CHECKING:
    from torch import Tensor

    from lautum.training.batches import StageData
    from lautum.training.networks import Network


class Settings(lautum.Settings):
    """Placebo: as `lautum.Settings`, of logits and the inputs of other images."""


class Objective(lautum.Objective):
    """Mean source cross-entropy - weight * L(w; x_target of another image)."""

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        self.shuffle = generator("shuffled inputs", seed)
        super().__init__(network, data, settings, seed)

    def pair(self, target: Stream) -> tuple[Tensor, Tensor]:
        # A random cycle: no image keeps its own logits.
        order = torch.randperm(len(target.inputs), generator=self.shuffle).to(target.inputs.device)
        inputs = torch.empty_like(target.inputs)
        inputs[order] = target.inputs[order.roll(1)]
        return inputs, target.logits

    def parts(self) -> dict:
        return super().parts() | {"shuffle": self.shuffle}
