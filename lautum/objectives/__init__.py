"""Training objectives, one file each, named as in a configuration: what is trained on in one of the two stages.

A file holds the objective's hyper-parameters, a class `Settings`, and what a step of it does, a class `Objective`. The
stage that it belongs to follows from what its settings derive from, `PretrainSettings` or `TransferSettings`. Files
without `Settings` hold what several objectives share.

May import `lautum.training`, `lautum.data` and what lies in `lautum` itself. Settings are read by every step of the
suite, so nothing here imports torch at the top of a file (see `lautum.lazy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

from lautum.objectives.settings import PretrainSettings, StageSettings, TransferSettings

if TYPE_CHECKING:
    from lautum.training.batches import StageData
    from lautum.training.networks import Network
    from lautum.training.objective import Objective


def _files() -> dict[str, ModuleType]:
    modules = {found.name: import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)}
    return {name: module for name, module in modules.items() if "Settings" in vars(module)}


# What they hold by name.
FILES = _files()
# The settings of each objective by its name, for the two stages of the paper's Figure 1.
PRETRAIN: dict[str, type[PretrainSettings]] = {
    name: module.Settings for name, module in FILES.items() if issubclass(module.Settings, PretrainSettings)
}
TRANSFER: dict[str, type[TransferSettings]] = {
    name: module.Settings for name, module in FILES.items() if issubclass(module.Settings, TransferSettings)
}


def build(
    name: str,
    network: Network,
    data: StageData,
    settings: StageSettings,
    seed: int,
    files: Mapping[str, ModuleType] = MappingProxyType(FILES),
) -> Objective:
    """The objective `name`, e.g. "lautum", over a network and the data of its stage.

    `files` are those that hold objectives, by name: also the plugins of a configuration.

    Raises ValueError when it cannot be computed with these settings, e.g. from too few images for the rank.
    """
    return files[name].Objective(network, data, settings, seed)
