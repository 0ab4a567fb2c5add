"""From resident uint8 images to network inputs: augment and scale a batch at once, on the device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class InputTransform:
    """Augmentation (training only) and scaling of the channels: `(image - mean) / std`."""

    augmentation: str  # "none" or "flip-shift"
    mean: Tensor  # (C, 1, 1), of images in [0, 255]
    std: Tensor  # (C, 1, 1)

    @classmethod
    def for_source(cls, images: Tensor, augmentation: str, scaling: str = "standardised") -> "InputTransform":
        """The scaling that the source's `images`, uint8 (N, C, H, W), ask for; the target is scaled by it too.

        `scaling`: "standardised", by mean and standard deviation of each channel, whose deviation counts as 1 where its
        pixels are all equal; or "unit", to [0, 1].
        """
        if scaling == "unit":
            zeros = torch.zeros(images.shape[1], 1, 1, device=images.device)
            return cls(augmentation, zeros, torch.full_like(zeros, 255.0))
        # Exact integer sums: the result does not depend on the order of summation, hence on device or threads.
        # A thousand images at a time, because bincount works on a copy with eight bytes for each pixel.
        counts = torch.zeros(images.shape[1], 256, dtype=torch.int64, device=images.device)
        for some in images.split(1000):
            counts += torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in some.unbind(dim=1)])
        levels = torch.arange(256, dtype=torch.float64, device=images.device)
        total = counts.sum(dim=1).double()
        mean = (counts * levels).sum(dim=1) / total
        variance = (counts * levels.square()).sum(dim=1) / total - mean.square()
        # A channel in which all pixels are equal, such as an empty one, has nothing to scale, and 0 / 0 is no input.
        std = variance.sqrt().where(variance > 0, 1.0)
        return cls(augmentation, mean.float()[:, None, None], std.float()[:, None, None])

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Network inputs float32 (B, C, H, W) from uint8 images; augmented when a CPU `generator` is given."""
        if generator is not None and self.augmentation == "flip-shift":
            images = flip_and_shift(images, generator)
        return ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def flip_and_shift(images: Tensor, generator: torch.Generator, pad: int = 4) -> Tensor:
    """Crop each image at a random offset after zero-padding by `pad` pixels, and mirror it with probability 1/2.

    The same distribution as torchvision's RandomHorizontalFlip and RandomCrop(size, padding=pad), for a whole batch
    (B, C, H, W) at once. `generator` lives on the CPU, so that both devices see the same augmentation.
    """
    batch, _, height, width = images.shape
    flip = torch.randint(2, (batch, 1), generator=generator).bool()
    top, left = torch.randint(2 * pad + 1, (2, batch, 1), generator=generator)
    columns = torch.arange(width)
    columns = torch.where(flip, width - 1 - columns, columns) + left
    rows = torch.arange(height) + top
    images = F.pad(images, (pad, pad, pad, pad))
    select = [
        index.to(images.device) for index in (torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :])
    ]
    return images.permute(0, 2, 3, 1)[select[0], select[1], select[2]].permute(0, 3, 1, 2)
