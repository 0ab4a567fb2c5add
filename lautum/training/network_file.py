"""A trained network on disk: its weights, the statistics that scale its inputs, and what it was trained on."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch

from lautum.data.transforms import InputTransform
from lautum.errors import Damaged, LautumError
from lautum.schema import require_expected
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
    expected: Mapping,
    architecture: str,
    precision: str,
    augmentation: str,
    device: torch.device,
    plugins: Mapping[str, type[Network]] = MappingProxyType({}),
) -> Loaded:
    """The network of a file that `save` wrote, on `device`; `plugins` as in `networks.build`.

    Args:
        expected: what its origin must say: "key", "seed" and "image_shape" (C, H, W) at least.

    Raises LautumError when the file is missing, Damaged when it is not whole or not the one expected.
    """
    remedy = "run the stage that makes it"
    state, origin = checkpoint.load(path, remedy)
    require_expected(path, origin, expected, remedy)
    try:
        classes = len(state["network"]["head.bias"])
        network = networks.build(architecture, tuple(expected["image_shape"]), classes, 0, precision, plugins=plugins)
        network.load_state_dict(state["network"])
        mean, std = (state["transform"][name].to(device) for name in ("mean", "std"))
    except LautumError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:  # other tensors than `save` wrote
        reason = " ".join(str(error).split())
        raise Damaged(path, f"{path} is no network {architecture} ({reason}); {remedy}") from error
    network.to(device).to(memory_format=torch.channels_last)
    return Loaded(network, InputTransform(augmentation, mean, std), origin)
