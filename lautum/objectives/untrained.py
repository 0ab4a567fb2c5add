"""No pre-transfer stage: what the labelled target images teach by themselves, the lower bound on transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lautum.objectives.settings import PretrainSettings
from lautum.training import objective

if TYPE_CHECKING:
    from lautum.training.batches import StageData
    from lautum.training.networks import Network


class Settings(PretrainSettings):
    """No pre-transfer stage: the network as it is initialised."""

    steps: ClassVar[int] = 0


class Objective(objective.Objective):
    """Zero steps; the network stays as it was initialised."""

    def __init__(self, network: Network, data: StageData, settings: Settings, seed: int):
        self.steps = settings.steps
