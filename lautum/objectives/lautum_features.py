"""Lautum pre-transfer on the penultimate features: another stand-in for the weights than the logits."""

from torch import Tensor

from lautum.objectives import lautum
from lautum.objectives.two_stream import Stream


class Objective(lautum.Objective):
    """Mean source cross-entropy - weight * L(features; x_target)."""

    def pair(self, target: Stream) -> tuple[Tensor, Tensor]:
        return target.inputs, target.features
