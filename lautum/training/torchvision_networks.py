"""torchvision's classification models as networks: `torchvision:resnet18`. Their weights are never downloaded."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lautum.errors import LautumError
from lautum.training.networks import Network

LARGEST = 512  # pixels, of an enlarged image


class TorchvisionNetwork(Network):
    """A model of torchvision, freshly initialised, with a linear head of its own.

    These models are made for large colour images, so the input is adapted: an image of one channel is repeated in
    three, and images are enlarged bilinearly by the smallest whole factor at which the model runs (1 for many; ViT
    needs exactly 224 pixels, which 16, 28 and 32 divide). `adaptation` says what was done.
    """

    def __init__(self, name: str, image_shape: tuple[int, int, int], num_classes: int):
        from torchvision import models

        super().__init__()
        auxiliary = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
        self.model = models.get_model(name, weights=None, **auxiliary)
        *_, (path, last) = [(path, part) for path, part in self.model.named_modules() if isinstance(part, nn.Linear)]
        self.model.set_submodule(path, nn.Identity())
        self.head = nn.Linear(last.in_features, num_classes)
        channels, height, width = image_shape
        if channels not in (1, 3):
            raise LautumError(f"torchvision:{name} takes images of 1 or 3 channels, got {channels}")
        self.factor = _factor(self.model, name, height, width)
        self.adaptation = ", ".join(
            ["each image is repeated in three channels"] * (channels == 1)
            + [f"images are enlarged to {self.factor * height} x {self.factor * width} pixels"] * (self.factor > 1)
        )

    def body(self, x: Tensor) -> Tensor:
        x = x.expand(-1, 3, -1, -1)
        if self.factor > 1:
            x = F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)
        return self.model(x)


def _factor(model: nn.Module, name: str, height: int, width: int) -> int:
    """The smallest whole factor of enlargement at which a model runs."""
    model.eval()
    for factor in range(1, LARGEST // max(height, width) + 1):
        try:
            with torch.no_grad():
                model(torch.zeros(1, 3, factor * height, factor * width))
            model.train()
            return factor
        except (RuntimeError, AssertionError, ValueError):
            continue
    raise LautumError(f"torchvision:{name} runs at no multiple of {height} x {width} pixels up to {LARGEST}")
