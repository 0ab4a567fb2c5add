"""Lautum pre-transfer on the penultimate features: another stand-in for the weights than the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lautum.objectives import lautum
from lautum.objectives.two_stream import Stream

if TYPE_CHECKING:
    from torch import Tensor


class Settings(lautum.Settings):
    """As `lautum.Settings`, with the penultimate features in place of the logits."""


class Objective(lautum.Objective):
    """Mean source cross-entropy - weight * L(features; x_target)."""

    def pair(self, target: Stream) -> tuple[Tensor, Tensor]:
        return target.inputs, target.features
