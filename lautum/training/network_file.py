"""A trained network on disk: its weights, the statistics that scale its inputs, and what it was trained on."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch

from lautum.data.transforms import InputTransform
from lautum.training import checkpoint, networks
from lautum.training.networks import Network


class Loaded(NamedTuple):
    """A network as it comes from its file."""

    network: Network
    transform: InputTransform
    origin: dict  # what it was trained on, as given to `save`


def save(path: Path, network: Network, transform: InputTransform, origin: Mapping) -> None:
    """Write a network atomically; equal networks give equal bytes. `origin` must be JSON-serialisable."""
    statistics = {"mean": transform.mean, "std": transform.std}
    checkpoint.save(path, {"network": network.state_dict(), "transform": statistics}, origin)


def load(
    path: Path,
    architecture: str,
    precision: str,
    augmentation: str,
    device: torch.device,
    plugins: Mapping[str, type[Network]] = MappingProxyType({}),
) -> Loaded:
    """The network of a file that `save` wrote, on `device`; `plugins` as in `networks.build`.

    Raises LautumError when the file is missing, Damaged when it is not whole.
    """
    state, origin = checkpoint.load(path, remedy="run the stage that makes it")
    classes = len(state["network"]["head.bias"])
    network = networks.build(architecture, tuple(origin["image_shape"]), classes, 0, precision, plugins=plugins)
    network.load_state_dict(state["network"])
    network.to(device).to(memory_format=torch.channels_last)
    mean, std = (state["transform"][name].to(device) for name in ("mean", "std"))
    return Loaded(network, InputTransform(augmentation, mean, std), origin)
