"""What my_objective does, in one line, with its source.

A configuration names this file under `plugins:` and the objective `my_objective`, as the file is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lautum.objectives import source_only, two_stream
from lautum.objectives.settings import setting
from lautum.objectives.two_stream import Stream

if TYPE_CHECKING:
    from torch import Tensor


# A pre-transfer objective: cross-entropy on the source, and a term on the source's and the target's batch. For the
# post-transfer stage derive both classes from those of lautum.objectives.supervised; for anything else, from
# PretrainSettings or TransferSettings of lautum.objectives.settings and from lautum.training.objective.Objective.
class Settings(source_only.Settings):
    """Cross-entropy on the source + weight * squared distance between the mean features of source and target."""

    needs_target: ClassVar[bool] = True  # the unlabelled target images play a part
    # Default, unit, where the default comes from (paper, inferred, tuned or chosen), meaning, bounds.
    weight: float = setting(0.1, "per unit squared distance", "chosen: not tuned", "weight of the term", ge=0)


class Objective(two_stream.Objective):
    """Mean source cross-entropy + weight * squared distance between mean features."""

    settings: Settings

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        """The term of the loss, and what to log of it.

        The target's batch is the smaller one where there are fewer target images than a batch has.
        """
        distance = (source.features.mean(dim=0) - target.features.mean(dim=0)).square().sum()
        return self.settings.weight * distance, {"distance": distance.detach()}
