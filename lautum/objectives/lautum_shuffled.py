"""Placebo: the Lautum term of logits and the inputs of *other* target images, between which there is no information.

Steps, images and form are Lautum's; only what the term is said to measure is gone. A gain that remains here is not due
to Lautum information.
"""

import torch
from torch import Tensor, nn

from lautum.objectives import lautum
from lautum.objectives.settings import LautumShuffled
from lautum.objectives.two_stream import Stream
from lautum.seeds import generator
from lautum.training.loop import StageData


class Objective(lautum.Objective):
    """Mean source cross-entropy - weight * L(w; x_target of another image)."""

    def __init__(self, network: nn.Module, data: StageData, settings: LautumShuffled, seed: int):
        self.shuffle = generator("shuffled inputs", seed)
        super().__init__(network, data, settings, seed)

    def pair(self, target: Stream) -> tuple[Tensor, Tensor]:
        # A random cycle: no image keeps its own logits.
        order = torch.randperm(len(target.inputs), generator=self.shuffle).to(target.inputs.device)
        inputs = torch.empty_like(target.inputs)
        inputs[order] = target.inputs[order.roll(1)]
        return inputs, target.logits

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"shuffle": self.shuffle.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.shuffle.set_state(state["shuffle"])
