"""Readers of the original file formats: idx (MNIST, notMNIST) and CIFAR's binary records. Nothing here unpickles."""

import gzip
import math
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lautum.errors import LautumError, is_refusal

LARGEST_MEMBER = 2**28  # bytes; the largest file of CIFAR's archives has 153,700,000


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Array of unsigned bytes from a gzipped idx file (http://yann.lecun.com/exdb/mnist/).

    The header: two zero bytes, 0x08 (unsigned byte), the number of dimensions, then each size as a big-endian int32.

    Raises LautumError when the file is truncated, of another type or number of dimensions, or not as long as declared.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (EOFError, OSError, zlib.error) as error:
        if is_refusal(error):
            raise
        raise LautumError(f"{path} is truncated, not gzip or cannot be read ({error}); fetch it again") from error
    magic, found = bytes([0, 0, 8, dimensions]), content[:4]
    if found != magic:
        raise LautumError(
            f"{path} is not an idx file of this kind: expected magic {magic.hex()}, found {found.hex()}; fetch it again"
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise LautumError(f"{path} ends within its {header}-byte header; fetch it again")
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], dtype=">i4"))
    if min(shape) < 0 or len(content) - header != math.prod(shape):
        raise LautumError(
            f"{path} declares {math.prod(shape)} bytes, shape {shape}, but holds {len(content) - header}; "
            "fetch it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def read_idx_pair(images_path: Path, labels_path: Path, class_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 1, H, W) and labels int64 (N,) from two idx files.

    Raises LautumError when either is damaged, the counts differ or a label is not below `class_count`.
    """
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise LautumError(
            f"{images_path} holds {len(images)} images but {labels_path} {len(labels)} labels; fetch both again"
        )
    _require_labels(labels, class_count, labels_path)
    return images[:, None], labels.astype(np.int64)


def read_tar(path: Path, names: Sequence[str]) -> list[bytes]:
    """The content of each named file, whatever folder of the archive it is in.

    Raises LautumError when the archive cannot be read, or one of them is missing or larger than `LARGEST_MEMBER`.
    """
    try:
        with tarfile.open(path) as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            for name in names:
                if name not in members:
                    raise LautumError(f"{path} holds no file {name}; fetch it again")
                if members[name].size > LARGEST_MEMBER:
                    raise LautumError(
                        f"{name} in {path} declares {members[name].size} bytes, expected at most {LARGEST_MEMBER}; "
                        "fetch it again"
                    )
            return [_content(archive, members[name]) for name in names]
    except LautumError:  # is a ValueError
        raise
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
        if is_refusal(error):
            raise
        raise LautumError(f"{path} cannot be read ({error}); fetch it again") from error


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, "only regular files are asked for"
    return file.read()


def read_cifar(content: bytes, name: str, label_bytes: int, class_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,) from CIFAR's binary records.

    A record (https://www.cs.toronto.edu/~kriz/cifar.html) is `label_bytes` label bytes, of which the last is used
    (CIFAR-100: coarse, fine), then 3,072 pixels, planar RGB.

    Raises LautumError, with the file's `name`, when the size is no multiple of a record's or a label is too large.
    """
    size = label_bytes + 3072
    if not content or len(content) % size:
        raise LautumError(
            f"{name} has {len(content)} bytes, not a positive multiple of the record length {size}; fetch it again"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, size)
    labels = records[:, label_bytes - 1]
    _require_labels(labels, class_count, name)
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), labels.astype(np.int64)


def _require_labels(labels: np.ndarray, class_count: int, name: Path | str) -> None:
    if len(labels) and labels.max() >= class_count:
        raise LautumError(f"{name} holds label {labels.max()}, expected 0 to {class_count - 1}; fetch it again")
