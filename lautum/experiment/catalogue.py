"""What a configuration can name: what is built in, and what it brings itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError, ValidationInfo

from lautum import objectives
from lautum.data.datasets import DATASETS, DataSet
from lautum.errors import LautumError, require_known
from lautum.experiment import plugins
from lautum.experiment.declared import Declared
from lautum.experiment.digest import code_digest
from lautum.experiment.fields import Name
from lautum.objectives.settings import PretrainSettings, TransferSettings
from lautum.schema import first_complaint
from lautum.training.architectures import ARCHITECTURES, TORCHVISION, require_torchvision

if TYPE_CHECKING:
    from lautum.training.networks import Network


@dataclass(frozen=True)
class Catalogue:
    """Objectives, networks and data sets by name."""

    objectives: Mapping[str, ModuleType]  # the files that hold their settings and classes
    networks: Mapping[str, type[Network]]  # of plugins; the others are those of `lautum.training.architectures`
    datasets: Mapping[str, DataSet]

    @property
    def pretrain(self) -> dict[str, type[PretrainSettings]]:
        """The settings of the pre-transfer objectives."""
        return {
            name: file.Settings for name, file in self.objectives.items() if issubclass(file.Settings, PretrainSettings)
        }

    @property
    def transfer(self) -> dict[str, type[TransferSettings]]:
        """The settings of the post-transfer objectives."""
        return {
            name: file.Settings for name, file in self.objectives.items() if issubclass(file.Settings, TransferSettings)
        }

    def require_network(self, name: str) -> None:
        """Raise LautumError when there is no such network."""
        if name.startswith(TORCHVISION):
            require_torchvision(name)
        else:
            require_known("network", name, [*ARCHITECTURES, *self.networks, f"{TORCHVISION}MODEL"])

    def code_of(self, objective: str | None, network: str) -> list[str]:
        """The modules that hold an objective and, where it comes from a plugin, a network: for a digest."""
        found = [self.objectives[objective].__name__] if objective else []
        return [*found, *([self.networks[network].__module__] if network in self.networks else [])]


_DECLARED = TypeAdapter(dict[Name, Declared])
BUILT_IN = Catalogue(objectives.FILES, {}, DATASETS)


def of(info: ValidationInfo) -> Catalogue:
    """What the configuration that is being checked can name."""
    return (info.context or {}).get("catalogue", BUILT_IN)


def read(entries: object, declared: object) -> Catalogue:
    """What is built in, what the plugins `entries` bring, and the data sets that are `declared`.

    The arguments are what a configuration says under `plugins` and `datasets`. Raises LautumError as `plugins.load`,
    for a data set that is declared wrongly, and for a name that is already taken.
    """
    try:
        datasets = _DECLARED.validate_python(declared)
    except ValidationError as error:
        raise LautumError(f"datasets.{first_complaint(error)}") from None
    if not (isinstance(entries, tuple) and all(isinstance(entry, str) for entry in entries)):
        raise LautumError(f"plugins must be a list of files and modules, got {entries}")
    if not (entries or datasets):
        return BUILT_IN
    found = {kind: dict(known) for kind, known in vars(BUILT_IN).items()}
    taken = {"objectives": BUILT_IN.objectives, "networks": ARCHITECTURES, "datasets": DATASETS}
    for entry in entries:
        module = plugins.load(entry)
        name = module.__name__.rpartition(".")[2]
        brought: dict[str, object] = {}
        if plugins.brings_objective(module):
            brought["objectives"] = module
        if plugins.brings_network(module):
            brought["networks"] = module.Network
        if plugins.brings_data_set(module):
            brought["datasets"] = replace(module.DATA_SET, code=code_digest(module.__name__))
        for kind, value in brought.items():
            if name in found[kind] or name in taken[kind]:
                whose = "built in" if name in taken[kind] else "of another plugin"
                raise LautumError(f"plugin {entry}: there is {name!r} {whose} among the {kind}; rename the file")
            found[kind][name] = value
    for name, entry in datasets.items():
        if name in found["datasets"]:
            raise LautumError(f"datasets.{name}: there is a data set of this name already; choose another")
        found["datasets"][name] = entry.data_set(name)
    return Catalogue(**found)
