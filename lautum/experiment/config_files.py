"""Configuration files as nested mappings: `extends`, merging, and values that carry their source."""

from pathlib import Path

import yaml

from lautum.errors import LautumError
from lautum.objectives.settings import SOURCES


def files(path: Path | str) -> list[Path]:
    """The configuration file and all that it extends: every file before those that extend it, and only once.

    Raises LautumError for a file that extends itself.
    """
    return _files(Path(path), ())


def read(path: Path | str) -> dict:
    """The file's mapping merged over what it extends: one file, or several.

    Of several the later ones win; but what extends another wins over that one wherever it stands.
    """
    merged: dict = {}
    for file in files(path):
        values = _parse(file)
        values.pop("extends", None)
        merged = _merge(merged, values, file.name)
    return merged


def _files(path: Path, extended_by: tuple[Path, ...]) -> list[Path]:
    if path.resolve() in extended_by:
        raise LautumError(f"{path} extends itself; remove one `extends`")
    bases = [_files(base, (*extended_by, path.resolve())) for base in _bases(path, _parse(path))]
    found: dict[Path, Path] = {}  # one file can be reached along several paths
    for file in [*(file for some in bases for file in some), path]:
        found.setdefault(file.resolve(), file)
    return list(found.values())


def _bases(path: Path, values: dict) -> list[Path]:
    bases = values.get("extends", [])
    return [path.parent / str(base) for base in (bases if isinstance(bases, list) else [bases])]


def _parse(path: Path) -> dict:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
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
