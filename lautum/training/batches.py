"""What a training stage may see, and in which order it sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lautum.lazy import torch
from lautum.seeds import generator

if TYPE_CHECKING:
    from torch import Tensor

    from lautum.data.transforms import InputTransform


@dataclass(frozen=True)
class Labelled:
    """Images with labels, resident on the device."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)


@dataclass(frozen=True)
class StageData:
    """What a training stage may see: never the test set, never the label of an image that counts as unlabelled.

    For the upper bound, `supervised_all_labels`, every target training image counts as labelled.
    """

    transform: InputTransform
    labelled: Labelled  # the source training set (pre-transfer) or the labelled target images (post-transfer)
    unlabelled: Tensor | None = None  # uint8 (U, C, H, W), the unlabelled target images


class ShuffledBatches:
    """Endless index batches: a fresh permutation each pass, whose last, incomplete batch is dropped.

    A batch size above `count` means full batches.
    """

    def __init__(self, count: int, batch_size: int, device: torch.device, *axes: str | int):
        self.generator = generator("batch order", *axes)
        self.batch_size = min(batch_size, count)
        self.order = torch.randperm(count, generator=self.generator).to(device)
        self.position = 0

    def next(self) -> Tensor:
        """The next batch of indices, int64 (B,)."""
        if self.position + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.order), generator=self.generator).to(self.order.device)
            self.position = 0
        self.position += self.batch_size
        return self.order[self.position - self.batch_size : self.position]

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that the next batch depends on."""
        return {"order": self.order, "position": torch.tensor(self.position), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        self.order = state["order"].to(self.order.device)
        self.position = int(state["position"])
        self.generator.set_state(state["generator"])
