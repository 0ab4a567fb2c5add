"""Writing and reading result files: all of a file or nothing of it."""

import errno
import fcntl
import gzip
import hashlib
import json
import os
import socket
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from lautum.errors import Damaged, LautumError, is_full, is_refusal

PARTIAL = ".partial-"
DAY = 24 * 60 * 60.0  # seconds


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` beside `path`, then rename: readers see the old file or the whole new one.

    Raises LautumError when the folder cannot be written to or the disk is full; no temporary file is left behind.
    """
    path = Path(path)
    temporary = handle = None
    require_folder(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because matplotlib and safetensors choose the format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{_machine()}-", suffix=path.suffix)
        temporary = Path(name)
        with suppress(OSError):  # a file system may have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)  # tells `remove_litter` that somebody writes here
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)  # safetensors has no number, but the system's words
        full = is_full(error) or any(os.strerror(number) in reason for number in (errno.ENOSPC, errno.EDQUOT))
        remedy = "free some space" if full else "check the folder's owner and permissions, or name another folder"
        if path.is_dir():
            remedy = "a folder is where the file belongs: move it away"
        if os.strerror(errno.ENOSPC) in reason:
            reason = "no space left on the device"
        raise LautumError(f"cannot write {path}: {reason}; {remedy}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def require_folder(folder: Path) -> None:
    """Raise LautumError when something else is where a folder is to be made, or in the way to it.

    And OSError when the folder may not be entered.
    """
    for part in (folder, *folder.parents):
        try:
            found = os.stat(part)  # once: between two looks another job may have made the folder
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            if part.is_symlink():
                raise LautumError(
                    f"{part} is a link to {os.readlink(part)}, where there is no folder; create it, or remove the link"
                ) from None
            continue
        if not stat.S_ISDIR(found.st_mode):
            raise LautumError(f"{part} is where a folder belongs; move it away, or name another folder")
        os.stat(part / ".")
        return


def remove_litter(folder: Path) -> None:
    """Remove the temporary files that killed processes left anywhere under `folder`.

    Of other machines, whose processes cannot be asked, those that nobody has written to for a day.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(PARTIAL):
                # Opened for writing: where locks are made of POSIX ones, as on NFS, only such a file can be locked.
                with suppress(OSError), open(Path(place) / name, "r+b") as file:
                    if not name.startswith(f"{PARTIAL}{_machine()}-"):
                        if time.time() - os.fstat(file.fileno()).st_mtime < DAY:
                            continue
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while it is being written
                    os.unlink(file.name)


def _machine() -> str:
    """This machine's name as letters and digits of a file's name."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, value) -> None:
    """Write `value` as indented JSON with sorted keys; NaN is refused because JSON has none."""
    write_bytes(path, packed_json(value))


def packed_json(value) -> bytes:
    """The content of the file that `write_json` writes."""
    return f"{json.dumps(value, indent=1, sort_keys=True, allow_nan=False)}\n".encode()


def gzipped(content: bytes) -> bytes:
    """Compressed, with the same header on every Python: without a time, and as on Unix (3.13 calls it unknown)."""
    compressed = bytearray(gzip.compress(content, mtime=0))
    compressed[9] = 3
    return bytes(compressed)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: object) -> None:
    """Write named arrays and JSON-serialisable metadata as one safetensors file, compressed if its name ends in .gz.

    Nothing in it can execute. With a SHA-256 over all of it, so that nothing in the file can change without
    `read_arrays` noticing.
    """
    content = packed(arrays, metadata)
    write_bytes(path, gzipped(content) if Path(path).suffix == ".gz" else content)


def packed(arrays: Mapping[str, np.ndarray], metadata: object) -> bytes:
    """The content of the file that `write_arrays` writes, not compressed."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(metadata, sort_keys=True, allow_nan=False)
    # One entry, because safetensors writes several in random order and the same content would not give the same bytes.
    sealed = {"json": json.dumps([_sha256(arrays, text), text])}
    return save(arrays, metadata=sealed)


def read_arrays(path: Path, remedy: str = "run again", sealed: bool = True) -> tuple[dict[str, np.ndarray], object]:
    """The arrays and the metadata that `write_arrays` wrote.

    Not `sealed`: also those of a file without a SHA-256 of its content, as there are among committed results. Its
    metadata is what its entry "json" holds, None without one.

    Raises LautumError when the file is missing, Damaged when it is truncated, altered or of another kind, with `remedy`
    as the advice; OSError as `read_bytes`.
    """
    _require_file(path, remedy)
    try:
        if Path(path).suffix == ".gz":
            content = gzip.decompress(read_bytes(path, remedy))
            arrays, header = load(content), json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            text = header.get("__metadata__", {}).get("json")
        else:
            with safe_open(str(path), framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}
                text = (file.metadata() or {}).get("json")
    # TypeError and AttributeError: NumPy lacks the type, e.g. float8; the rest for what is no such file.
    except (SafetensorError, OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError, KeyError) as error:
        if is_refusal(error):
            raise
        raise Damaged(path, f"{path} cannot be read ({error}); {remedy}") from error
    try:
        metadata = None if text is None else from_json(text)
        if sealed or isinstance(metadata, list):
            sha256, text = metadata  # type: ignore[misc]
            if sha256 != _sha256(arrays, text):
                raise Damaged(path, f"{path} is damaged: its content does not have the SHA-256 written in it; {remedy}")
            metadata = from_json(text)
    except Damaged:
        raise
    except (ValueError, TypeError) as error:
        raise Damaged(path, f"{path} was not written by this program ({error}); {remedy}") from error
    return arrays, metadata


def read_bytes(path: Path, remedy: str = "run again") -> bytes:
    """The content of a file.

    Raises LautumError when it is missing, Damaged when it is no file, with `remedy` as the advice; OSError, with the
    file's name, when the system refuses to read it, which says nothing of its content: that may be whole.
    """
    _require_file(path, remedy)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        error.filename = str(path)
        raise


def _require_file(path: Path, remedy: str) -> None:
    """Before a file is read: of a named pipe, for one, that would never come to an end."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise LautumError(f"{path} does not exist; {remedy}") from None
    except OSError as error:
        if error.errno != errno.ELOOP:  # links in a circle are no file
            raise
        raise Damaged(path, f"{path} cannot be read ({error.strerror}); {remedy}") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "something else"
        raise Damaged(path, f"{path} is {what} where a file belongs; {remedy}")
    os.close(os.open(path, os.O_RDONLY))  # whether it may be read: of libraries' own errors that cannot be told


def set_aside(path: Path) -> str:
    """Rename what is damaged to NAME.damaged, so that the next run makes it again; say what has become of it."""
    path = Path(path)
    aside = path.with_name(f"{path.name}.damaged")
    while os.path.lexists(aside) and (aside.is_dir() or path.is_dir()):  # only a file can take a file's place
        aside = aside.with_name(f"{aside.name}~")
    try:
        os.replace(path, aside)
    except FileNotFoundError:  # another process was quicker
        pass
    except OSError as error:
        return f"it cannot be renamed ({error.strerror}): remove it by hand"
    return f"it is now {aside.name}"


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


def _sha256(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """Of everything in a file: names, arrays and metadata."""
    names = sorted(arrays)
    head = np.frombuffer(f"{names}{text}".encode(), dtype=np.uint8)
    return sha256_of_arrays(head, *(arrays[name] for name in names))
