"""Plugins: a user's own objectives, networks and data sets, named under `plugins:` in a configuration.

A plugin is one Python file, and its name is the name of what it brings: an objective, as the files of
`lautum/objectives/` do (`Settings` and `Objective`); a network (a class `Network`, derived from
`lautum.training.networks.Network` and called with the image shape and the number of classes); a data set (`DATA_SET`, a
`lautum.data.datasets.DataSet`). It may bring one of each.

It is the user's own code and is imported when the configuration is read, so that whatever is wrong with it is said
before any job starts.
"""

import hashlib
import os
import re
import reprlib
import sys
from importlib import import_module
from inspect import formatannotation, signature
from numbers import Integral
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from lautum.data.content import MOST_CLASSES
from lautum.data.datasets import DataSet
from lautum.errors import LautumError, described, place
from lautum.experiment.digest import FOLDER, code_digest
from lautum.objectives import two_stream
from lautum.objectives.settings import PretrainSettings, TransferSettings, require_source
from lautum.training.objective import Objective


def load(entry: str) -> ModuleType:
    """Import a plugin: the path of a file, or the dotted name of a module in an installed package.

    A file may import those beside it as a package's modules do (`from . import helpers`). Raises LautumError when there
    is no such plugin, when it cannot be imported or followed to all its code, or when what it brings is incomplete.
    """
    name = _module_of_file(Path(entry)) if entry.endswith(".py") else _module_of_package(entry)
    try:
        module = import_module(name)
    except SyntaxError as error:
        raise _unreadable(entry, error) from None
    except (Exception, SystemExit) as error:  # the latter would end the process without a word
        where = place(error, [name])
        raise LautumError(f"plugin {entry} cannot be imported: {where}{described(error)}") from None
    try:
        code_digest(name)
    except SyntaxError as error:  # of a file that the plugin imports in a function, hence not yet
        raise _unreadable(entry, error) from None
    except ImportError as error:
        raise LautumError(f"plugin {entry}: {re.sub(f'{FOLDER}[0-9a-f]*[.]', '', str(error))}") from None
    require_complete(module, entry)
    return module


def brings_objective(module: ModuleType) -> bool:
    """Whether a plugin brings an objective."""
    return "Settings" in vars(module) or "Objective" in vars(module)


def brings_network(module: ModuleType) -> bool:
    """Whether a plugin brings a network: one that is defined, not imported, there."""
    return getattr(vars(module).get("Network"), "__module__", None) == module.__name__


def brings_data_set(module: ModuleType) -> bool:
    """Whether a plugin brings a data set."""
    return "DATA_SET" in vars(module)


def require_complete(module: ModuleType, entry: str) -> None:
    """Raise LautumError when a plugin brings nothing, or something that jobs would fail with."""
    if not (brings_objective(module) or brings_network(module) or brings_data_set(module)):
        raise LautumError(f"plugin {entry} brings nothing: it must define Settings and Objective, Network, or DATA_SET")
    if brings_objective(module):
        _require_objective(module, entry)
    if brings_network(module):
        from lautum.training.networks import Network  # imports torch, as the plugin does

        if not (isinstance(module.Network, type) and issubclass(module.Network, Network)):
            raise LautumError(f"plugin {entry}: Network must be a class derived from lautum.training.networks.Network")
    if brings_data_set(module):
        _require_data_set(module.DATA_SET, entry)


def _require_objective(module: ModuleType, entry: str) -> None:
    settings, objective = vars(module).get("Settings"), vars(module).get("Objective")
    if not (isinstance(settings, type) and issubclass(settings, PretrainSettings | TransferSettings)):
        raise LautumError(
            f"plugin {entry}: it must define a class Settings derived from PretrainSettings or TransferSettings of "
            "lautum.objectives.settings"
        )
    if not (isinstance(objective, type) and issubclass(objective, Objective)):
        raise LautumError(
            f"plugin {entry}: it must define a class Objective derived from lautum.training.objective.Objective"
        )
    lacking = [name for name in ("schedule", "step") if getattr(objective, name) is getattr(Objective, name)]
    if issubclass(objective, two_stream.Objective):
        if objective.step is two_stream.Objective.step and objective.term is two_stream.Objective.term:
            lacking.append("term")
        if issubclass(settings, PretrainSettings) and not settings.needs_target:
            raise LautumError(
                f"plugin {entry}: Objective takes target images, so Settings must say `needs_target: ClassVar[bool] = "
                "True`"
            )
    if lacking:
        raise LautumError(f"plugin {entry}: Objective must define {' and '.join(lacking)}")
    for name, field in settings.model_fields.items():
        if name in ("value", "source"):
            raise LautumError(
                f"plugin {entry}: Settings.{name}: a configuration takes this name for what it says of a setting; "
                "choose another"
            )
        declared = field.json_schema_extra
        source = str(declared.get("source", "")) if isinstance(declared, dict) else ""
        try:
            require_source(source)
        except ValueError as error:
            raise LautumError(
                f"plugin {entry}: Settings.{name} must be declared with setting(default, unit, source, description) "
                f"of lautum.objectives.settings: {error}"
            ) from None
        # Lists of a configuration are tuples; and the order of a set, which would be in keys, is not fixed.
        if not any(map(_is_settable, _alternatives(field.annotation))):
            raise LautumError(
                f"plugin {entry}: Settings.{name} must be a tuple, such as tuple[int, ...], for a configuration to set "
                f"it, got {formatannotation(field.annotation)}"
            )


def _alternatives(annotation: object) -> tuple:
    """The types of a union but None; of any other annotation itself."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(part for part in get_args(annotation) if part is not NoneType)
    return (annotation,)


def _is_settable(annotation: object) -> bool:
    """Whether a value from a configuration can be of a type: not of one that holds lists or sets."""
    if any(kind in (list, set, frozenset) for kind in (annotation, get_origin(annotation))):
        return False
    return all(map(_is_settable, get_args(annotation)))


def _require_data_set(data_set: object, entry: str) -> None:
    if not isinstance(data_set, DataSet):
        raise LautumError(f"plugin {entry}: DATA_SET must be a lautum.data.datasets.DataSet")
    shape, names, counts = data_set.image_shape, data_set.class_names, data_set.train_counts
    for name, sound, allowed in (
        ("title", _is_text(data_set.title), "a text that is not empty"),
        (
            "image_shape",
            _are_counts(shape) and len(shape) == 3,
            "a tuple of channels, height and width, each a whole number above 0",
        ),
        (
            "class_names",
            isinstance(names, tuple) and all(map(_is_text, names)) and len(set(names)) == len(names),
            "a tuple of different texts, none of them empty",
        ),
        ("read", _takes_two(data_set.read), "a function of the downloads' folder and the offline folder"),
        ("train_counts", _are_counts(counts), "a tuple of whole numbers above 0"),
        (
            "sha256",
            isinstance(data_set.sha256, str) and re.fullmatch("([0-9a-f]{64})?", data_set.sha256),
            "64 hexadecimal digits, or empty",
        ),
    ):
        if not sound:
            value = reprlib.repr(getattr(data_set, name))
            raise LautumError(f"plugin {entry}: DATA_SET.{name} must be {allowed}, got {' '.join(value.split())}")
    if not 2 <= len(names) <= MOST_CLASSES:
        raise LautumError(
            f"plugin {entry}: DATA_SET.class_names must name 2 to {MOST_CLASSES} classes, got {len(names)}"
        )
    if counts and len(counts) != len(names):
        raise LautumError(
            f"plugin {entry}: DATA_SET.train_counts must have a number for each of the {len(names)} classes, or none, "
            f"got {len(counts)}"
        )


def _takes_two(function: object) -> bool:
    if not callable(function):
        return False
    try:
        signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # one written in C, which has no signature
        return True
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _are_counts(values: Any) -> bool:
    whole = isinstance(values, tuple) and all(isinstance(value, Integral) for value in values)
    return whole and all(value > 0 and not isinstance(value, bool) for value in values)


def _module_of_file(path: Path) -> str:
    """The name that a file is imported by, as a module of a package that is its folder."""
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise LautumError(f"plugin {path} does not exist; paths are relative to the configuration that names them")
    if not path.stem.isidentifier():
        raise LautumError(f"plugin {path}: its name may hold letters, digits and '_' only, and not begin with a digit")
    folder = path.resolve().parent
    package = f"{FOLDER}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(folder)]
    return f"{package}.{path.stem}"


def _module_of_package(entry: str) -> str:
    if not all(part.isidentifier() for part in entry.split(".")):
        raise LautumError(f"plugin {entry!r} is neither the path of a .py file nor the name of a module")
    if "." not in entry:
        raise LautumError(f"plugin {entry!r} is in no package; give the path of its file, {entry}.py")
    return entry


def _unreadable(entry: str, error: SyntaxError) -> LautumError:
    where = Path(error.filename or entry).name + (f", line {error.lineno}" if error.lineno else "")
    return LautumError(f"plugin {entry} cannot be read: {where}: {error.msg}")
