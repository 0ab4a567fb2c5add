"""What pre-transfer objectives with a term on the target share: both batches in one forward pass."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lautum.objectives import source_only
from lautum.objectives.settings import PretrainSettings
from lautum.seeds import generator
from lautum.training.loop import ShuffledBatches, StageData


@dataclass(frozen=True)
class Stream:
    """One of the two batches and what the network makes of it."""

    inputs: Tensor  # (B, C, H, W)
    features: Tensor  # penultimate, (B, F)
    logits: Tensor  # (B, K)


class Objective(source_only.Objective):
    """Mean cross-entropy on the source + `term` of both streams.

    The target batch has the source batch's size. On its own, with a zero term, it is the reference that the benchmark
    measures regularisers against; it is not an objective of the configuration.
    """

    def __init__(self, network: nn.Module, data: StageData, settings: PretrainSettings, seed: int):
        super().__init__(network, data, settings, seed)
        device = data.unlabelled.device
        self.target_order = ShuffledBatches(len(data.unlabelled), settings.batch_size, device, "target", seed)
        self.target_augmentation = generator("augmentation", "target", seed)

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        source, labels = self.source_batch()
        target = self.data.transform(self.data.unlabelled[self.target_order.next()], self.target_augmentation)
        features = self.network.features(torch.cat([source, target]))
        logits = self.network.head(features)
        cut = len(source)
        cross_entropy = F.cross_entropy(logits[:cut], labels)
        term, scalars = self.term(
            Stream(source, features[:cut], logits[:cut]), Stream(target, features[cut:], logits[cut:])
        )
        scalars |= {"images": len(source) + len(target)} | source_only.source_scalars(
            cross_entropy, logits[:cut], labels
        )
        return cross_entropy + term, scalars

    def term(self, source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:
        """The term to add, and scalars to log. Here zero, but its gradient passes through the target stream."""
        return 0 * target.logits.sum(), {}

    def state(self) -> dict[str, Tensor]:
        order = {f"target_order/{key}": value for key, value in self.target_order.state().items()}
        return super().state() | order | {"target_augmentation": self.target_augmentation.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.target_order.restore({key: state[f"target_order/{key}"] for key in self.target_order.state()})
        self.target_augmentation.set_state(state["target_augmentation"])
