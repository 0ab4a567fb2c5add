"""Configuration files as nested mappings: `extends`, merging, and values that carry their source."""

import itertools
import os
from collections.abc import Container
from pathlib import Path

from lautum.errors import LautumError
from lautum.experiment import yaml_reader
from lautum.experiment.fields import filled_in
from lautum.objectives.settings import require_source

MOST_FILES = 100  # that a configuration may consist of


def files(path: Path | str) -> list[Path]:
    """The configuration file and all that it extends: every file before those that extend it, and only once.

    Raises LautumError when one of them is no configuration or extends itself.
    """
    return [file for file, _ in _read(Path(path))]


def read(path: Path | str) -> dict:
    """The file's mapping merged over what it extends: one file, or several. Lists are tuples.

    Of several the later ones win; but what extends another wins over that one wherever it stands. A name is not
    inherited, or the campaign would take the place of another one's report; nor are `about` and a task's `looks`, which
    are of one campaign.

    Raises LautumError when a file is no configuration or extends itself, when this one has no name of its own, or when
    a `grid.seeds` would not reach a task.
    """
    merged: dict = {}
    *bases, (last, own) = _read(Path(path))
    if "name" not in own:
        raise LautumError(
            f"{last} needs a `name`, which its report goes by; that of a file that it extends would replace that "
            "one's report"
        )
    for file, values in bases:
        if values.get("name") == own["name"]:
            raise LautumError(f"{last}: the name {own['name']!r} is taken by {file}, which it extends; choose another")
    for file, values in (*bases, (last, own)):
        if sourced := _sourced({key: value for key, value in values.items() if key != "tasks"}):
            raise LautumError(f"{file}: {sourced[0]}: only a task's values have a source; write the value alone")
        own = {key: value for key, value in values.items() if key != "extends"} | _located(values, file)
        merged = _merge(_inherited(merged), own, file.name)
    _require_heard_seeds([*bases, (last, own)], merged)
    return merged


def _sourced(tree: object, *path: str) -> list[str]:
    """The keys below which there is a {value, source}."""
    if _is_leaf(tree):
        return [".".join(path)]
    below = tree.items() if isinstance(tree, dict) else ()
    return [name for key, value in below for name in _sourced(value, *path, str(key))]


def unheard(path: Path | str, drawn: Container[tuple[str, ...]] = ()) -> list[str]:
    """What a file that extends others says in vain, in words; the files' part of `config.unheard`.

    Tasks and methods that the grid leaves out; a task's network and settings of its stages, but those at the keys
    `drawn`, for which methods have values of their own in what it extends. Raises LautumError as `read`.
    """
    *bases, (file, own) = _read(Path(path))
    if not bases:
        return []
    found, merged = [], read(path)
    run = {kind: _names(merged, "grid", kind) for kind in ("tasks", "methods")}
    defined = [(kind, name) for kind in run for name in _names(own, kind)]
    defined += [("methods", name) for task in run["tasks"] for name in _names(own, "tasks", task, "methods")]
    for kind, name in dict.fromkeys(defined):
        if name not in run[kind]:
            found.append(f"{file}: {kind[:-1]} {name} is not run; grid.{kind} leaves it out")
    for task, below in itertools.product(run["tasks"], ((), ("pretrain",), ("transfer",))):
        for setting in _names(own, "tasks", task, *below):
            if ("tasks", task, *below, setting) in drawn:
                continue
            where = {
                method: os.path.normpath(base)
                for base, values in bases
                for method in run["methods"]
                if setting in _names(values, "tasks", task, "methods", method, *below)
                and setting not in _names(own, "tasks", task, "methods", method, *below)
                and setting not in ("pretrain", "transfer")  # which are merged, each setting by itself
            }
            name = ".".join((*below, setting))
            for base in dict.fromkeys(where.values()):
                methods = ", ".join(method for method in where if where[method] == base)
                found.append(
                    f"{file}: tasks.{task}.{name} does not reach {methods}, with values of their own in {base}; set "
                    f"tasks.{task}.methods.<method>.{name}"
                )
    return found


def own_settings(path: Path | str) -> list[tuple[str, ...]]:
    """The keys at which the file itself, not what it extends, says a setting of a task's stage. Raises as `read`."""
    *_, (_, own) = _read(Path(path))
    tasks = [("tasks", task) for task in _names(own, "tasks")]
    places = tasks + [(*task, "methods", method) for task in tasks for method in _names(own, *task, "methods")]
    return [
        (*place, stage, setting)
        for place in places
        for stage in ("pretrain", "transfer")
        for setting in _names(own, *place, stage)
    ]


def _require_heard_seeds(files: list[tuple[Path, dict]], merged: dict) -> None:
    """Refuse `grid.seeds` in a file that extends one in which a task of the grid has seeds of its own.

    In one file, the task's own hold.
    """

    def setter(*keys: str) -> int:
        """The number of the last file that sets a value; -1 for none."""
        return max((number for number, (_, values) in enumerate(files) if _at(values, keys) is not None), default=-1)

    grid = setter("grid", "seeds")
    tasks = _at(merged, ("grid", "tasks"))
    for task in tasks if isinstance(tasks, tuple) else ():
        if not isinstance(task, str):
            continue  # as malformed as it is, refused by the configuration's own check
        own = setter("tasks", task, "seeds")
        if 0 <= own < grid and _at(merged, ("tasks", task, "seeds")) is not None:
            raise LautumError(
                f"{files[grid][0]}: grid.seeds does not reach task {task}, which has seeds of its own in "
                f"{files[own][0]}; set tasks.{task}.seeds (null: the grid's)"
            )


def _inherited(values: dict) -> dict:
    """Without what is of one campaign."""
    values = {key: value for key, value in values.items() if key != "about"}
    tasks = values.get("tasks")
    if not isinstance(tasks, dict):
        return values
    kept = {
        name: {key: value for key, value in task.items() if key != "looks"} if isinstance(task, dict) else task
        for name, task in tasks.items()
    }
    return values | {"tasks": kept}


def _at(values: object, keys: tuple[str, ...]) -> object:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _names(values: object, *keys: str) -> tuple[str, ...]:
    """The keys or entries of what lies there; none of anything else."""
    found = _at(values, keys)
    return tuple(map(str, found)) if isinstance(found, dict | tuple) else ()


def _located(values: dict, file: Path) -> dict:
    """The entries of a file that name other files, whose paths are relative to it."""
    folder = file.parent
    located, plugins, datasets = {}, values.get("plugins"), values.get("datasets")
    if isinstance(plugins, tuple):
        located["plugins"] = tuple(
            str(_beside(file, "plugins", name)) if isinstance(name, str) and name.endswith(".py") else name
            for name in plugins
        )
    if isinstance(datasets, dict):
        located["datasets"] = {
            name: {key: _below(folder, value) if key in ("train", "test") else value for key, value in entry.items()}
            if isinstance(entry, dict)
            else entry
            for name, entry in datasets.items()
        }
    return located


def _below(folder: Path, value):
    """A path, or several, relative to a folder; what begins with `~` or `$NAME` is not."""
    if isinstance(value, dict):
        return {key: _below(folder, path) for key, path in value.items()}
    return str(folder / value) if isinstance(value, str) and value and value[0] not in "~$" else value


def _read(path: Path) -> list[tuple[Path, dict]]:
    """Path and mapping of all that the file extends, each once though it can be reached along several, and its own."""
    found: dict[str, tuple[Path, dict]] = {}

    def visit(path: Path, extended_by: tuple[str, ...]) -> None:
        real = os.path.realpath(path)
        if real in extended_by:
            raise LautumError(f"{path} extends itself; remove one `extends`")
        if real in found:
            return
        if len(found) + len(extended_by) == MOST_FILES:
            raise LautumError(f"{path}: a configuration consists of {MOST_FILES} files at most")
        values = _parse(path)
        for base in _bases(path, values):
            visit(base, (*extended_by, real))
        found[real] = path, values

    visit(path, ())
    return list(found.values())


def _bases(path: Path, values: dict) -> list[Path]:
    bases = values.get("extends", ())
    bases = bases if isinstance(bases, tuple) else (bases,)
    found = []
    for base in bases:
        if not (isinstance(base, str) and base):
            raise LautumError(f"{path}: `extends` is the path of a file, or a list of such, got {base!r}")
        found.append(_beside(path, "extends", base))
    return found


def _beside(file: Path, key: str, path: str) -> Path:
    """The path that a configuration says under `key`: relative to the file, or from `~` or `$NAME` on."""
    try:
        return file.parent / (filled_in(path) if path[0] in "~$" else path)
    except ValueError as error:
        raise LautumError(f"{file}: {key}: {error}") from None


def _parse(path: Path) -> dict:
    try:
        values = yaml_reader.read(path)
    except FileNotFoundError:
        raise LautumError(
            f"configuration {path} does not exist; see config/ for the ones that come with the suite "
            "(a winners.yaml is what a tuning campaign ends with)"
        ) from None
    except OSError as error:
        raise LautumError(f"configuration {path} cannot be read: {error.strerror}") from None
    except LautumError as error:
        raise LautumError(f"configuration {path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise LautumError(f"configuration {path} must be a mapping of keys to values")
    return values


def _merge(base, values, file: str):
    if _is_leaf(base) and not isinstance(values, dict):
        return {"value": values, "source": f"chosen: set in {file}"}
    if not (isinstance(base, dict) and isinstance(values, dict)) or _is_leaf(values):
        return values
    return base | {key: _merge(base[key], value, file) if key in base else value for key, value in values.items()}


def _is_leaf(value) -> bool:
    return isinstance(value, dict) and "value" in value and value.keys() <= {"value", "source"}


UNKNOWN = "unknown"  # stands for a value that somebody has to fill in


def require_filled_in(tasks: object, file: Path) -> None:
    """Raise LautumError with all keys of the mapping `tasks` whose value is marked as unknown."""

    def marked(tree: object, path: tuple[str, ...]) -> list[str]:
        if isinstance(tree, dict):
            return [name for key, value in tree.items() for name in marked(value, (*path, str(key)))]
        return [".".join(path)] if tree == UNKNOWN else []

    if names := marked(tasks, ("tasks",)):
        raise LautumError(f"{file} does not say {', '.join(names)}; replace `{UNKNOWN}` by a value")


def split_sources(tree, path: tuple = ()) -> tuple[object, dict[tuple, str]]:
    """Replace every {value, source} by its value; also return the sources by path."""
    if _is_leaf(tree):
        source = tree.get("source", "chosen: set in the configuration")
        try:
            require_source(str(source))
        except ValueError as error:
            raise LautumError(f"{'.'.join(map(str, path))}: {error}") from None
        return tree["value"], {path: source}
    if not isinstance(tree, dict):
        # A bare hyper-parameter has a source too: whoever wrote the file.
        return tree, {path: "chosen: set in the configuration"}
    values, sources = {}, {}
    for key, value in tree.items():
        values[key], below = split_sources(value, (*path, key))
        sources |= below
    return values, sources
