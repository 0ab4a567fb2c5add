"""Control: minimises the entropy of the predictions on target images (Grandvalet & Bengio 2005).

Like the Lautum term it makes the logits depend more strongly on the unlabelled target images, but through no covariance
with them and no theorem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lautum.objectives import source_only, two_stream
from lautum.objectives.settings import setting
from lautum.objectives.two_stream import Stream

if TYPE_CHECKING:
    from torch import Tensor


class Settings(source_only.Settings):
    """Control: cross-entropy on the source + weight * entropy of the predictions on target images."""

    needs_target: ClassVar[bool] = True
    weight: float = setting(0.1, "per nat", "chosen: a tenth of the cross-entropy's", "weight of the entropy", ge=0)


class Objective(two_stream.Objective):
    """Mean source cross-entropy + weight * mean entropy of softmax(target logits)."""

    settings: Settings

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        log_probabilities = target.logits.log_softmax(dim=1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1).mean()
        return self.settings.weight * entropy, {"target_entropy": entropy.detach()}
