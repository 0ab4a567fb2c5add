"""Configuration files as nested mappings: `extends`, merging, and values that carry their source."""

from pathlib import Path

import yaml

from lautum.errors import LautumError
from lautum.objectives.settings import SOURCES

# The reader in C where PyYAML was built with it: ten times faster.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def files(path: Path | str) -> list[Path]:
    """The configuration file and all that it extends: every file before those that extend it, and only once.

    Raises LautumError for a file that extends itself.
    """
    return [file for file, _ in _read(Path(path), ()).values()]


def read(path: Path | str) -> dict:
    """The file's mapping merged over what it extends: one file, or several.

    Of several the later ones win; but what extends another wins over that one wherever it stands.
    """
    merged: dict = {}
    for file, values in _read(Path(path), ()).values():
        own = {key: value for key, value in values.items() if key != "extends"}
        merged = _merge(merged, own, file.name)
    return merged


def _read(path: Path, extended_by: tuple[Path, ...]) -> dict[Path, tuple[Path, dict]]:
    """Path and mapping of the file and all that it extends, by resolved path: a file can be reached along several."""
    if path.resolve() in extended_by:
        raise LautumError(f"{path} extends itself; remove one `extends`")
    values, found = _parse(path), {}
    for base in _bases(path, values):
        for resolved, file in _read(base, (*extended_by, path.resolve())).items():
            found.setdefault(resolved, file)
    return found | {path.resolve(): (path, values)}


def _bases(path: Path, values: dict) -> list[Path]:
    bases = values.get("extends", [])
    return [path.parent / str(base) for base in (bases if isinstance(bases, list) else [bases])]


def _parse(path: Path) -> dict:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except FileNotFoundError:
        raise LautumError(
            f"configuration {path} does not exist; see config/ for the ones that come with the suite "
            "(a winners.yaml is what a tuning campaign ends with)"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LautumError(f"configuration {path} cannot be read: {' '.join(str(error).split())}") from None
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


def split_sources(tree, path: tuple = ()) -> tuple[object, dict[tuple, str]]:
    """Replace every {value, source} by its value; also return the sources by path."""
    if _is_leaf(tree):
        source = tree.get("source", "chosen: set in the configuration")
        if str(source).split(":")[0] not in SOURCES:
            raise LautumError(
                f"{'.'.join(map(str, path))}: source {source!r} must begin with one of {', '.join(SOURCES)} and ':'"
            )
        return tree["value"], {path: source}
    if not isinstance(tree, dict):
        # A bare hyper-parameter has a source too: whoever wrote the file.
        return tree, {path: "chosen: set in the configuration"}
    values, sources = {}, {}
    for key, value in tree.items():
        values[key], below = split_sources(value, (*path, key))
        sources |= below
    return values, sources
