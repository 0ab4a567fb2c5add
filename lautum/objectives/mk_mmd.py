"""Mk-MMD pre-transfer (paper section 4, method 3): pulls source and target features, here the penultimate, together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lautum.objectives import source_only, two_stream
from lautum.objectives.settings import setting
from lautum.objectives.two_stream import Stream

if TYPE_CHECKING:
    from torch import Tensor


class Settings(source_only.Settings):
    """Cross-entropy on the source + weight * Mk-MMD between penultimate features of source and target."""

    needs_target: ClassVar[bool] = True
    weight: float = setting(
        0.1, "per unit MMD^2", "chosen: lower end of the customary 0.1-0.3", "weight of the MMD term", ge=0
    )


class Objective(two_stream.Objective):
    """Mean source cross-entropy + weight * MMD^2(source features, target features)."""

    settings: Settings

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        from lautum.mmd import multi_kernel_mmd  # imports torch

        mmd = multi_kernel_mmd(source.features, target.features)
        return self.settings.weight * mmd, {"mmd": mmd.detach()}
