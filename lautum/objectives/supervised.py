"""Post-transfer on the labelled target images alone (Eq. 3)."""

import torch.nn.functional as F
from torch import Tensor, nn

from lautum.objectives.settings import Supervised
from lautum.seeds import generator
from lautum.training.loop import ShuffledBatches, StageData


class Objective:
    """Mean cross-entropy over a batch of labelled target images."""

    def __init__(self, network: nn.Module, data: StageData, settings: Supervised, seed: int):
        self.network, self.data, self.settings = network, data, settings
        self.steps = settings.steps
        device = data.labelled.labels.device
        self.order = ShuffledBatches(len(data.labelled.labels), settings.batch_size, device, "labelled", seed)
        self.augmentation = generator("augmentation", "labelled", seed)

    def schedule(self, step: int) -> tuple[float, float]:
        return self.settings.learning_rate, 0.9

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        index = self.order.next()
        inputs = self.data.transform(self.data.labelled.images[index], self.augmentation)
        loss = F.cross_entropy(self.network(inputs), self.data.labelled.labels[index])
        return loss, {"images": len(inputs)}

    def diagnostics(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Tensor]:
        order = {f"order/{key}": value for key, value in self.order.state().items()}
        return order | {"augmentation": self.augmentation.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.order.restore({key: state[f"order/{key}"] for key in self.order.state()})
        self.augmentation.set_state(state["augmentation"])
