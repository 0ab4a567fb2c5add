"""Deep CORAL in the pre-transfer stage (Sun & Saenko 2016): aligns the second-order statistics of source and target.

CORAL loss (their Eq. 1): the squared Frobenius norm of the difference between the covariances of the source's and the
target's outputs, divided by 4 d^2 for d outputs; taken on the last layer, as theirs is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lautum.lazy import torch
from lautum.objectives import source_only, two_stream
from lautum.objectives.settings import setting
from lautum.objectives.two_stream import Stream

if TYPE_CHECKING:
    from torch import Tensor


class Settings(source_only.Settings):
    """Cross-entropy on the source + weight * CORAL loss between the logits of source and target."""

    needs_target: ClassVar[bool] = True
    weight: float = setting(1.0, "per unit CORAL loss", "chosen: not tuned", "weight of the CORAL loss", ge=0)


class Objective(two_stream.Objective):
    """Mean source cross-entropy + weight * CORAL loss."""

    settings: Settings

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        loss = coral_loss(source.logits, target.logits)
        return self.settings.weight * loss, {"coral": loss.detach()}


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """|Cov(source) - Cov(target)|_F^2 / (4 d^2) of outputs (B, d), with covariances over B - 1."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().sum() / (4 * source.shape[1] ** 2)
