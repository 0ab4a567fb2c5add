"""SHA256SUMS: hashes of the files that a campaign's folder keeps, as `sha256sum` writes and checks them."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lautum.errors import LautumError
from lautum.files import read_bytes, require_folder, sha256_of_file, write_bytes, write_text
from lautum.pipeline.locks import lock

NAME = "SHA256SUMS"
RESTORE = "restore it, or leave out what only it has with `lautum collect --drop`"


Write = Callable[[Mapping[str, bytes]], None]  # of contents by name


@contextmanager
def changing(folder: Path) -> Iterator[Write]:
    """Hold a folder, one process at a time, from before what is to stay is read until what is new is written.

    Of two that wrote at once, one would leave hashes of the other's files, or leave out what the other had added.

    Yields a function that writes files, the last of them last, and their hashes beside those of the folder's other
    files. Until all are written there are the old hashes and the new: after an interruption nothing looks altered.
    Raises as `lautum.pipeline.locks.lock`, and LautumError when the folder cannot be written to.
    """
    require_folder(folder)
    with lock(folder.parent / f".{folder.name}.lock"):  # not in it: where nothing is collected there is no folder
        yield partial(_write_files, folder)


def _write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    known = _read(folder)
    new = {name: {hashlib.sha256(content).hexdigest()} for name, content in contents.items()}
    for name in contents:
        if name not in known and (folder / name).is_file():
            known[name] = {sha256_of_file(folder / name)}
    _write(folder, {name: known.get(name, set()) | new.get(name, set()) for name in known | new})
    for name, content in contents.items():
        write_bytes(folder / name, content)
    _write(folder, known | new)


def require_unaltered(path: Path, remedy: str) -> None:
    """Raise LautumError, with `remedy` as the advice, when a file is not what was written there.

    Nothing is known of a file that SHA256SUMS does not name, as of those that are older than it.
    """
    expected = _read(path.parent).get(path.name)
    if expected and path.is_file() and sha256_of_file(path) not in expected:
        raise LautumError(f"{path} is not what was written there: {path.parent / NAME} has another hash; {remedy}")


def require_whole(folder: Path) -> None:
    """Raise LautumError when a file that SHA256SUMS names is not what was written there."""
    for name in _read(folder):
        require_unaltered(folder / name, RESTORE)


def _read(folder: Path) -> dict[str, set[str]]:
    path, found = folder / NAME, {}
    if not path.exists():
        return found
    for line in read_bytes(path, "remove it").decode(errors="replace").splitlines():
        named = re.fullmatch(r"([0-9a-f]{64})  ([^/\0]+)", line)
        if not named:
            raise LautumError(f"{path} has a line that is no hash and name: {line[:100]!r}; restore it")
        found.setdefault(named[2], set()).add(named[1])
    return found


def _write(folder: Path, hashes: Mapping[str, set[str]]) -> None:
    lines = sorted((name, value) for name, values in hashes.items() for value in values)
    write_text(folder / NAME, "".join(f"{value}  {name}\n" for name, value in lines))
