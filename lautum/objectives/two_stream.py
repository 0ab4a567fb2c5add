"""What pre-transfer objectives with a term on the target share: both batches in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lautum.lazy import F, torch
from lautum.objectives import source_only
from lautum.seeds import generator
from lautum.training.batches import ShuffledBatches, StageData
from lautum.training.objective import Step

if TYPE_CHECKING:
    from torch import Tensor

    from lautum.training.networks import Network


@dataclass(frozen=True)
class Stream:
    """One of the two batches and what the network makes of it."""

    inputs: Tensor  # (B, C, H, W)
    features: Tensor  # penultimate, (B, F)
    logits: Tensor  # (B, K)


class Objective(source_only.Objective):
    """Mean cross-entropy on the source + `term` of both streams.

    The target batch has the source batch's size, or that of the pool of target images if that is smaller. On its own,
    with a zero term, it is the reference that the benchmark measures regularisers against; it is not an objective of
    the configuration.
    """

    def __init__(self, network: Network, data: StageData, settings: source_only.Settings, seed: int):
        super().__init__(network, data, settings, seed)
        assert data.unlabelled is not None, "settings with needs_target are given the unlabelled target images"
        self.unlabelled = data.unlabelled
        self.target_order = ShuffledBatches(
            len(self.unlabelled), settings.batch_size, self.unlabelled.device, "target", seed
        )
        self.target_augmentation = generator("augmentation", "target", seed)

    def target_batch(self) -> Tensor:
        """The next target inputs (B, C, H, W)."""
        return self.data.transform(self.unlabelled[self.target_order.next()], self.target_augmentation)

    def step(self, step: int) -> Step:
        source, labels = self.source_batch()
        target = self.target_batch()
        features = self.network.features(torch.cat([source, target]))
        logits = self.network.head(features)
        cut = len(source)
        cross_entropy = F.cross_entropy(logits[:cut], labels)
        term, scalars = self.term(
            Stream(source, features[:cut], logits[:cut]), Stream(target, features[cut:], logits[cut:])
        )
        own = source_only.source_scalars(cross_entropy, logits[:cut], labels)
        if taken := sorted(own.keys() & scalars.keys()):
            raise ValueError(f"the term logs {', '.join(taken)}, as the cross-entropy does; choose another name")
        scalars |= own
        return Step(cross_entropy + term, len(source) + len(target), scalars)

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        """The term to add, and scalars to log. Here zero, but its gradient passes through the target stream."""
        return 0 * target.logits.sum(), {}

    def parts(self) -> dict:
        return super().parts() | {"target_order": self.target_order, "target_augmentation": self.target_augmentation}
