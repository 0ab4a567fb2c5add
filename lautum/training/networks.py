"""Networks by name: images (B, C, H, W) -> penultimate `features` (B, F) -> `head` -> logits (B, K)."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lautum.errors import LautumError, described, place
from lautum.files import sha256_of_arrays
from lautum.seeds import derive
from lautum.training.architectures import ARCHITECTURES, TORCHVISION

BATCH_NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Dropout(nn.Module):
    """Inverted dropout whose noise comes from an explicit generator, so that a checkpoint can hold its state."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * keep / (1 - self.p)


class Network(nn.Module):
    """What all networks share: `body` maps images to penultimate features (B, F), the linear `head` to logits (B, K).

    With precision "bfloat16" the body computes its convolutions and matrix products in bfloat16 (automatic mixed
    precision); weights, head, losses and optimiser stay in float32.
    """

    head: nn.Linear
    precision: str
    adaptation = ""  # what is done to images before they are given to the network's layers, for the log
    # Layers such as `nn.Dropout` draw from torch's global generators. For a pass in training mode these are seeded from
    # the stage's own, whose state checkpoints hold; the suite's own networks have no such layers.
    draws_globally = True
    generator: torch.Generator | None = None
    trains_all = True  # unless `set_trained` said otherwise

    def body(self, x: Tensor) -> Tensor:
        """Penultimate features (B, F) in the precision of the surroundings."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features, float32 (B, F)."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            if not (self.training and self.draws_globally):
                return self.body(x).float()
            seed = int(torch.randint(2**62, (), generator=self.generator, device=x.device))
            with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
                torch.manual_seed(seed)
                return self.body(x).float()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def set_trained(self, trained: str) -> None:
        """Train "all" weights, those of "hidden" linear layers and the head, or the "head" alone; freeze the others.

        Nothing is thawed: layers that a network of one's own has frozen stay so.
        """
        self.trains_all = trained == "all"
        kept = set(self.parameters() if self.trains_all else self.head.parameters())
        for module in self.modules() if trained == "hidden" else ():
            if isinstance(module, nn.Linear):
                kept |= set(module.parameters())
        for weight in self.parameters():
            weight.requires_grad_(weight.requires_grad and weight in kept)

    def train(self, mode: bool = True) -> "Network":
        """As PyTorch's, but batch normalisation that is frozen keeps its statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, BATCH_NORMALISATION):
                # One without weights moves where the stage trains all of them.
                trained = self.trains_all if module.weight is None else module.weight.requires_grad
                module.train(mode and trained)
        return self


class ConvNet(Network):
    """conv5x5-ReLU-pool2 twice, a hidden layer with dropout, a linear head.

    With widths (32, 64, 1024) it is the network that the paper's first author published for MNIST in 2018; the paper's
    main text does not describe its networks.
    """

    draws_globally = False

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, widths: tuple[int, int, int], dropout: float
    ):
        super().__init__()
        channels, height, width = image_shape
        first, second, hidden = widths
        self.conv1 = nn.Conv2d(channels, first, 5, padding=2)
        self.conv2 = nn.Conv2d(first, second, 5, padding=2)
        self.hidden = nn.Linear(second * (height // 4) * (width // 4), hidden)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(hidden, num_classes)

    def body(self, x: Tensor) -> Tensor:
        # Pooling before the ReLU gives the same values (both are monotone) on a quarter of the pixels.
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        return self.dropout(F.relu(self.hidden(x.flatten(1))))


class WideResNet(Network):
    """Wide ResNet (Zagoruyko & Komodakis 2016) with pre-activation blocks and BatchNorm, e.g. depth 16, width 4.

    BatchNorm and the two streams: source and target images go through in one batch and share its statistics, and the
    running averages used for evaluation are of that mixture; the post-transfer stage moves them on to target images.
    """

    draws_globally = False

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, depth: int, width: int):
        super().__init__()
        blocks = (depth - 4) // 6
        channels = [16, 16 * width, 32 * width, 64 * width]
        self.stem = nn.Conv2d(image_shape[0], channels[0], 3, padding=1, bias=False)
        self.blocks = nn.Sequential(
            *(
                _WideBlock(channels[g] if b == 0 else channels[g + 1], channels[g + 1], 2 if b == 0 and g > 0 else 1)
                for g in range(3)
                for b in range(blocks)
            )
        )
        self.norm = nn.BatchNorm2d(channels[3])
        self.head = nn.Linear(channels[3], num_classes)

    def body(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.blocks(self.stem(x)))).mean(dim=(2, 3))


class _WideBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs or stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        residual = self.conv2(F.relu(self.norm2(self.conv1(activated))))
        return residual + (x if self.shortcut is None else self.shortcut(activated))


CLASSES: dict[str, type[Network]] = {"ConvNet": ConvNet, "WideResNet": WideResNet}


def build(
    name: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    seed: int,
    precision: str = "float32",
    initialisation: str = "pytorch",
    plugins: Mapping[str, type[Network]] = MappingProxyType({}),
) -> Network:
    """The named network, initialised from `seed` alone (the caller's random state is untouched).

    `initialisation`: "pytorch" or "truncated-normal", see `truncated_normal`. `plugins` are classes by name of networks
    that are not the suite's own. Raises LautumError for one of these that is not as `Network` says.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive("initialisation", name, seed))
        if name in plugins:
            network = _plugin(name, plugins[name], image_shape, num_classes)
        elif name.startswith(TORCHVISION):
            from lautum.training.torchvision_networks import TorchvisionNetwork  # which imports this module

            network = TorchvisionNetwork(name.removeprefix(TORCHVISION), image_shape, num_classes)
        else:
            kind, arguments = ARCHITECTURES[name]
            network = CLASSES[kind](image_shape, num_classes, **arguments)
        if initialisation == "truncated-normal":
            truncated_normal(network)
    network.precision = precision
    return network


@torch.no_grad()
def _plugin(name: str, kind: type[Network], image_shape: tuple[int, int, int], num_classes: int) -> Network:
    """A network of a plugin, tried on two images as they come: channels last."""
    where = f"network {name}, {num_classes} classes, images {image_shape}"
    try:
        network = kind(image_shape, num_classes)
        network.precision = "float32"
        images = torch.zeros(2, *image_shape).to(memory_format=torch.channels_last)
        features = network.eval().to(memory_format=torch.channels_last).features(images)
        head = network.head
        if not isinstance(head, nn.Linear) or head.bias is None or head.out_features != num_classes:
            raise LautumError(f"{where}: `head` must be a torch.nn.Linear with a bias and an output for each class")
        if features.shape != (2, head.in_features):
            raise LautumError(
                f"{where}: of 2 images `body` gives {tuple(features.shape)}, `head` takes (2, {head.in_features})"
            )
        for weight in network.state_dict():
            if "/" in weight:
                raise LautumError(f"{where}: the name {weight!r} of a weight must not hold '/'; rename the layer")
    except LautumError:
        raise
    except Exception as error:
        raise LautumError(f"{where}: {place(error, [kind.__module__])}{described(error)}") from error
    return network.train()


@torch.no_grad()
def truncated_normal(network: nn.Module, deviation: float = 0.1) -> None:
    """Draw the weights of all convolutions and linear layers from a normal distribution cut off at two deviations, and
    set their biases to one, as TensorFlow's tutorial for MNIST did in the years of the paper.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            if module.bias is not None:
                module.bias.fill_(deviation)


def reinitialise_head(network: Network, num_classes: int, seed: int, initialisation: str = "pytorch") -> None:
    """Replace the head by a fresh linear layer with `num_classes` outputs, initialised from `seed` alone."""
    old = network.head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive("head initialisation", seed))
        head = nn.Linear(old.in_features, num_classes)
        if initialisation == "truncated-normal":
            truncated_normal(head)
    network.head = head.to(old.weight.device)


def sha256_of_weights(network: nn.Module) -> str:
    """SHA-256 of all weights and buffers, the same on every device."""
    return sha256_of_arrays(*(weight.cpu().numpy() for weight in network.state_dict().values()))


def set_dropout_generator(network: nn.Module, generator: torch.Generator) -> None:
    """Let all that is random in a network draw from `generator`, which must live on the network's device."""
    for module in network.modules():
        if isinstance(module, Dropout | Network):
            module.generator = generator
