"""Writing and reading result files: all of a file or nothing of it."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lautum.errors import Damaged, LautumError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` beside `path`, then rename: readers see the old file or the whole new one.

    Raises LautumError when the folder cannot be written to or the disk is full; no temporary file is left behind.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because matplotlib and safetensors choose the format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        remedy = "free some space" if full else "check the folder's owner and permissions, or name another in `folders`"
        reason = "no space left on the device" if full else (getattr(error, "strerror", None) or error)
        raise LautumError(f"cannot write {path}: {reason}; {remedy}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, value) -> None:
    """Write `value` as indented JSON with sorted keys; NaN is refused because JSON has none."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write named arrays and string metadata as one safetensors file (nothing in it can execute)."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # None, because without arrays safetensors writes a header for an empty mapping that it cannot read.
    write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata=dict(metadata) or None))


def read_arrays(path: Path, remedy: str = "run again") -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and metadata of a safetensors file.

    Raises LautumError when the file is missing, Damaged when it is truncated or not safetensors, with `remedy` as the
    advice.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except FileNotFoundError as error:
        raise LautumError(f"{path} does not exist; {remedy}") from error
    except (SafetensorError, OSError) as error:
        raise Damaged(path, f"{path} cannot be read ({error}); {remedy}") from error


def set_aside(path: Path) -> Path:
    """Rename a damaged file to NAME.damaged, so that the next run makes it again; return its new name."""
    aside = Path(path).with_name(f"{Path(path).name}.damaged")
    with suppress(FileNotFoundError):
        os.replace(path, aside)
    return aside


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_arrays(*arrays: np.ndarray) -> str:
    """SHA-256 over dtype, shape and bytes (C order, little-endian) of the arrays: the same on every machine."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array, order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{array.dtype.name}{array.shape}".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()
