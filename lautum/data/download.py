"""Original data set files: from the offline folder, from an earlier download, or from a mirror; checksums decide."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from lautum.errors import LautumError
from lautum.files import write_atomically

STALLED_SECONDS = 30.0  # without a byte; then the next mirror is tried
LARGEST_BYTES = 2**28  # CIFAR's archives have 170 MB; an answer without end must not fill the disk


@dataclass(frozen=True)
class Remote:
    """Where a data set's original files are published."""

    folder: str  # subfolder of the offline folder and of the downloads
    mirrors: tuple[str, ...]  # addresses that a file name is appended to, tried in this order
    checksums: Mapping[str, str]  # file name -> "md5:..." or, the SHA-1 that git names a file by, "git:..."
    note: str = ""  # for who must place the files by hand


MNIST = Remote(  # mirrors and checksums as in torchvision
    "mnist",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    {
        "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
    },
)
NOTMNIST = Remote(
    "notmnist",
    (
        "https://raw.githubusercontent.com/davidflanagan/notMNIST-to-MNIST/master/",
        "https://github.com/davidflanagan/notMNIST-to-MNIST/raw/master/",
    ),
    {
        "train-images-idx3-ubyte.gz": "git:6cf3076b36bafa7da1563b28bbe863fd78a008a8",
        "train-labels-idx1-ubyte.gz": "md5:eab59f88903339e01dac19deed3824c0",
        "t10k-images-idx3-ubyte.gz": "md5:2c87c839a4ef9b238846600eec8c35b7",
        "t10k-labels-idx1-ubyte.gz": "md5:7ea9118cbafd0f6e3ee2ad771d782a01",
    },
    "the archives at https://zenodo.org/records/8274268 hold the same letters as PNG and do not replace it",
)
NOTMNIST_SMALL = Remote(
    "notmnist",
    ("https://zenodo.org/records/8274268/files/",),
    {"notMNIST_small.zip": "md5:3de91fb69221d9c2d5c57387101ebc6c"},
    "or the author's notMNIST_small.tar.gz beside it: only its content is checked",
)
# The binary archives, not the Python ones that torchvision fetches: those must be unpickled, which can run code.
CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
CIFAR10 = Remote("cifar10", CIFAR_MIRRORS, {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"})
CIFAR100 = Remote("cifar100", CIFAR_MIRRORS, {"cifar-100-binary.tar.gz": "md5:03b5dce01913d631647c71ecec9e9cb8"})


def locate(remote: Remote, names: Iterable[str], downloads: Path, offline: Path | None) -> list[Path]:
    """Paths of the named files, each verified by its checksum.

    A file is taken from `offline`/`remote.folder`, else from `downloads`/`remote.folder`, else from the first mirror
    that delivers it; downloads are kept.

    Raises LautumError when a file in the offline folder is not the published one, or when no mirror delivers a file.
    """
    return [_locate(remote, name, downloads, offline) for name in names]


def _locate(remote: Remote, name: str, downloads: Path, offline: Path | None) -> Path:
    expected = remote.checksums[name]
    if offline is not None and (given := offline / remote.folder / name).is_file():
        if (found := _checksum(given, expected)) != expected:
            raise LautumError(
                f"{given} is not the published file: its checksum is {found}, expected {expected}; replace or remove it"
            )
        return given
    path = downloads / remote.folder / name
    if path.is_file():
        if _checksum(path, expected) == expected:
            return path
        print(f"{path} is damaged (wrong checksum): deleted, downloading it again", file=sys.stderr)
        path.unlink()
    failures = []
    for mirror in remote.mirrors:
        try:
            write_atomically(path, lambda temporary, url=mirror + name: _download(url, temporary, expected))
            return path
        except _MirrorFailed as failure:
            failures.append(str(failure))
    by_hand = offline or Path("FOLDER")
    setting = "" if offline else f" and set LAUTUM_OFFLINE={by_hand}"
    note = f" ({remote.note})" if remote.note else ""
    similar = "".join(
        f"; {path} has another name or was unpacked: it must be as published, byte for byte"
        for path in (_similar(offline / remote.folder, name) if offline else ())
    )
    raise LautumError(
        f"cannot download {name}: {'; '.join(failures)}; "
        f"place the file by hand at {by_hand / remote.folder / name}{setting}{note}{similar}"
    )


def _similar(folder: Path, name: str) -> list[Path]:
    """Files that seem to be `name` under another name: unpacked, or as some mirrors write it, with dots for hyphens."""

    def plain(name: str) -> str:
        return name.lower().removesuffix(".gz").replace(".", "-").replace("_", "-")

    return [path for path in sorted(folder.glob("*")) if plain(path.name) == plain(name)]


class _MirrorFailed(Exception):
    pass


def _download(url: str, temporary: Path, expected: str) -> None:
    with open(temporary, "wb") as file:
        for chunk in _fetched(url):
            file.write(chunk)
    if (found := _checksum(temporary, expected)) != expected:
        raise _MirrorFailed(f"{url} gave {temporary.stat().st_size} bytes with checksum {found}, expected {expected}")


def _fetched(url: str) -> Iterator[bytes]:
    """The content at `url` in pieces, just as it is sent.

    That is why not pooch: its `requests` unpacks what a server calls gzip, and the checksum of a .gz file is lost.

    Raises _MirrorFailed, also for more than `LARGEST_BYTES`; errors of whoever writes the pieces are not caught here.
    """
    request = Request(url, headers={"User-Agent": "lautum"})  # some servers refuse the library's own name
    size = 0
    try:
        with urlopen(request, timeout=STALLED_SECONDS) as response:
            name = url.rpartition("/")[2]
            # disable=None: shown on a terminal only.
            with tqdm(desc=name, total=response.length, unit="B", unit_scale=True, disable=None) as bar:
                while piece := response.read(2**16):
                    size += len(piece)
                    if size > LARGEST_BYTES:
                        raise _MirrorFailed(f"{url} gave more than {LARGEST_BYTES} bytes, the most a file may have")
                    bar.update(len(piece))
                    yield piece
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a redirection to what is no address
        raise _MirrorFailed(f"{url} failed with {' '.join(str(error).split())}") from error


def _checksum(path: Path, expected: str) -> str:
    """The file's checksum of the same kind as `expected`, in the same notation."""
    kind = expected.partition(":")[0]
    if kind == "git":
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        hashlib.file_digest(file, lambda: digest)  # in pieces
    return f"{kind}:{digest.hexdigest()}"
