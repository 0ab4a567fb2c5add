"""notMNIST_small as its author published it: an archive of PNG files, read in memory, never unpacked.

Source: Y. Bulatov, http://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html
"""

import hashlib
import io
import struct
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import IO

import numpy as np

from lautum.data import download
from lautum.errors import LautumError, is_refusal

SIDE = 28  # pixels
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError)
LARGEST_PNG = 2**16  # bytes; the largest that was published has 875
EMPTY = {  # known to be empty in every copy, hence not images
    ("A", "RGVtb2NyYXRpY2FCb2xkT2xkc3R5bGUgQm9sZC50dGY=.png"),
    ("F", "Q3Jvc3NvdmVyIEJvbGRPYmxpcXVlLnR0Zg==.png"),
}
# What Pillow raises for damaged files, as fuzzing shows.
UNREADABLE = OSError, SyntaxError, ValueError, IndexError, EOFError, zlib.error, struct.error


@dataclass(frozen=True)
class Published:
    """What an archive must hold beside the `EMPTY` files."""

    counts: dict[str, int]  # images of each letter; a letter's place is its label
    pixels_sha256: str  # hex, of all pixels, ordered by letter and file name


SMALL = Published(
    dict(zip("ABCDEFGHIJ", [1872, 1873, 1873, 1873, 1873, 1872, 1872, 1872, 1872, 1872], strict=True)),
    "684045a54aeca0b807dae5e3039613aa8a3a8b35c33d412ce14e920d8fa2a77f",
)


def find(downloads: Path, offline: Path | None) -> Path:
    """The archive: in `offline`/notmnist, as .zip or as .tar.gz, else as `download.locate` finds the .zip.

    One in the offline folder may have been packed anew: not its own checksum counts but, in `read`, that of its pixels.

    Raises as `download.locate`.
    """
    remote = download.NOTMNIST_SMALL
    for name in ("notMNIST_small.zip", "notMNIST_small.tar.gz"):
        if offline is not None and (given := offline / remote.folder / name).is_file():
            return given
    return download.locate(remote, remote.checksums, downloads, offline)[0]


def read(path: Path, published: Published) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 1, 28, 28) and labels int64 (N,) of a .zip or .tar.gz of .../LETTER/NAME.png, in this order.

    The `EMPTY` files are left out, which is said on stderr. Files that are no PNG by their name are not looked at, nor
    hidden ones, as some systems add.

    Raises LautumError, with the name of what is wrong, when the archive or an image cannot be read, is of another size
    or larger than `LARGEST_PNG`, when images are missing or too many, or when the pixels are not those `published`.
    """
    files = _png_files(path, published)
    skipped = sorted(EMPTY & files.keys())
    if skipped:
        names = " and ".join("/".join(key) for key in skipped)
        print(f"{path}: left out {names}, known to be empty", file=sys.stderr)
    keys = sorted(files.keys() - EMPTY)
    counts = Counter(letter for letter, _ in keys)
    for letter, expected in published.counts.items():
        if counts[letter] != expected:
            raise LautumError(
                f"{path} holds {counts[letter]} images of the letter {letter}, expected {expected}; fetch it again"
            )
    images = np.stack([_pixels(files[key], f"{'/'.join(key)} in {path}") for key in keys])[:, None]
    if (found := hashlib.sha256(images.tobytes()).hexdigest()) != published.pixels_sha256:
        raise LautumError(
            f"{path} does not hold the published images: their pixels have the SHA-256 {found}, "
            f"expected {published.pixels_sha256}; fetch it again"
        )
    return images, np.repeat(np.arange(len(published.counts)), list(published.counts.values()))


def _png_files(path: Path, published: Published) -> dict[tuple[str, str], bytes]:
    """(letter, file name) -> content. All in one pass, because going back in a .tar.gz starts from its beginning."""
    files = {}
    try:
        for name, size, open_member in _members(path):
            *_, letter, file_name = f"/{name}".split("/")
            if not file_name.endswith(".png") or file_name.startswith("."):
                continue
            key, where = (letter, file_name), f"{letter}/{file_name} in {path}"
            if letter not in published.counts:
                raise LautumError(f"{where} belongs to none of the letters {''.join(published.counts)}; fetch it again")
            if key in files:
                raise LautumError(f"{where} is there twice; fetch it again")
            if size > LARGEST_PNG:
                raise LautumError(f"{where} declares {size} bytes, expected at most {LARGEST_PNG}; fetch it again")
            with open_member() as member:
                files[key] = member.read(LARGEST_PNG)  # a limit, because what is declared need not be true
    except LautumError:
        raise
    # RuntimeError: encrypted, or compressed in a way that zipfile does not know. ValueError: of falsified numbers.
    except (*BROKEN, OSError, EOFError, RuntimeError, ValueError) as error:
        if is_refusal(error):
            raise
        raise LautumError(f"{path} cannot be read ({error}); fetch it again") from error
    return files


def _members(path: Path) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Name, declared size and how to open it, of everything in the archive that can hold a file."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                yield member.filename, member.file_size, partial(archive.open, member)
    else:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.isfile():  # neither a folder nor a link
                    yield member.name, member.size, partial(_opened, archive, member)


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    assert file is not None, "only regular files are asked for"
    return file


def _pixels(content: bytes, where: str) -> np.ndarray:
    """uint8 (28, 28)"""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            mode, size = image.mode, image.size  # from the header: an absurd size costs no memory
            if (mode, size) == ("L", (SIDE, SIDE)):
                return np.asarray(image)
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise LautumError(f"{where} is not a readable PNG ({error}); fetch the archive again") from error
    raise LautumError(
        f"{where} is {size[0]} x {size[1]} of mode {mode}, expected grey {SIDE} x {SIDE}; fetch the archive again"
    )
