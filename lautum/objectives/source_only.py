"""Pre-transfer on the labelled source alone (Eq. 2 without the Lautum term): the first stage of standard and TE."""

import torch.nn.functional as F
from torch import Tensor, nn

from lautum.objectives.settings import SourceOnly
from lautum.seeds import generator
from lautum.training.loop import ShuffledBatches, StageData


class Objective:
    """Mean cross-entropy over a batch of source images.

    Also the base of the objectives that add a term on the target.
    """

    def __init__(self, network: nn.Module, data: StageData, settings: SourceOnly, seed: int):
        self.network, self.data, self.settings = network, data, settings
        self.steps = settings.steps
        device = data.labelled.labels.device
        self.source_order = ShuffledBatches(len(data.labelled.labels), settings.batch_size, device, "source", seed)
        self.source_augmentation = generator("augmentation", "source", seed)

    def schedule(self, step: int) -> tuple[float, float]:
        return self.settings.learning_rate, 0.9

    def source_batch(self) -> tuple[Tensor, Tensor]:
        """The next source inputs (B, C, H, W) and labels (B,)."""
        index = self.source_order.next()
        images = self.data.labelled.images[index]
        return self.data.transform(images, self.source_augmentation), self.data.labelled.labels[index]

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        inputs, labels = self.source_batch()
        logits = self.network(inputs)
        loss = F.cross_entropy(logits, labels)
        return loss, {"images": len(inputs)} | source_scalars(loss, logits, labels)

    def diagnostics(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Tensor]:
        order = {f"source_order/{key}": value for key, value in self.source_order.state().items()}
        return order | {"source_augmentation": self.source_augmentation.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.source_order.restore({key: state[f"source_order/{key}"] for key in self.source_order.state()})
        self.source_augmentation.set_state(state["source_augmentation"])


def source_scalars(cross_entropy: Tensor, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy and accuracy on the source batch, for the training curve."""
    accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
    return {"source_cross_entropy": cross_entropy.detach(), "source_accuracy": accuracy}
