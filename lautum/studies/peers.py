"""How others write what the suite does: the peers that `lautum.studies.bench` measures it against."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lautum import mmd
from lautum.data.transforms import InputTransform
from lautum.training import networks
from lautum.training.batches import Labelled, StageData

BATCH = 128
IMAGES = 4000
SHAPES = {"MNIST": ((1, 28, 28), "none"), "CIFAR": ((3, 32, 32), "flip-shift")}


def data(shape: str) -> StageData:
    """Random images: the time of a step does not depend on what they show."""
    size, augmentation = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, *size), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (len(images),), generator=generator)
    return StageData(InputTransform.for_source(images, augmentation), Labelled(images, labels), images)


def loader_stepper(shape: str, network_name: str, threads: int, workers: int) -> Callable[[], None]:
    """One step of an ordinary script: images from a DataLoader through torchvision's transforms, torch.optim.Adam."""
    stage = data(shape)
    size = SHAPES[shape][0]
    augmentation = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if shape == "CIFAR" else []
    transform = transforms.Compose(
        [*augmentation, transforms.ToTensor(), transforms.Normalize([0.5] * size[0], [0.25] * size[0])]
    )
    pixels = stage.labelled.images.permute(0, 2, 3, 1).squeeze(-1).numpy()

    class Images(Dataset):
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int):
            return transform(Image.fromarray(pixels[index])), int(stage.labelled.labels[index])

    options = {"num_workers": workers, "persistent_workers": True, "multiprocessing_context": "fork"} if workers else {}
    loader = DataLoader(Images(), BATCH, shuffle=True, drop_last=True, **options)
    network = networks.build(network_name, size, 10, seed=0)
    optimiser = torch.optim.Adam(network.parameters())

    def endless():
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        torch.set_num_threads(threads)
        inputs, labels = next(batches)
        optimiser.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()

    return step


def mmd_by_broadcast(source: Tensor, target: Tensor) -> Tensor:
    """Mk-MMD as many ports write it: all pairwise differences, one exponential after the other."""

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        means = [torch.exp(-(a[:, None] - b[None]).square().sum(2) / (2 * v)).mean() for v in mmd.VARIANCES]
        return torch.stack(means).sum()

    return mean_kernel(source, source) + mean_kernel(target, target) - 2 * mean_kernel(source, target)


def lautum_by_inverses(inputs: Tensor, logits: Tensor) -> Tensor:
    """L of a batch from the D x D covariance and explicit inverses, float64, ridged because D exceeds the batch."""
    x, w = inputs.double() - inputs.double().mean(0), logits.double() - logits.double().mean(0)
    cov_x = x.T @ x / len(x) + 0.1 * torch.eye(x.shape[1], dtype=x.dtype)
    cov_w, cov_xw = w.T @ w / len(w), x.T @ w / len(w)
    c = torch.linalg.inv(cov_x) @ cov_xw @ torch.linalg.inv(cov_w) @ cov_xw.T
    identity = torch.eye(len(c), dtype=c.dtype)
    return 0.5 * torch.logdet(identity - c) + torch.trace(torch.linalg.inv(identity - c) - identity)
