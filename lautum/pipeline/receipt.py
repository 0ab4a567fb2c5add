"""What a job leaves for the graph: that what it makes is finished, and as which files.

In place of these files: Snakemake deletes the outputs of a job that it starts or that fails, and a copy of the job, say
of a driver that was killed, may have finished them meanwhile.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import NonNegativeInt

from lautum import schema
from lautum.errors import Damaged, LautumError
from lautum.experiment.layout import Layout
from lautum.files import set_aside, sha256_of_file, write_text
from lautum.schema import Strict


class Receipt(Strict):
    """Of the network of a pre-training, or the records of a batch."""

    key: str  # of the pre-training, in the path, or of the batch, and
    seed: NonNegativeInt  # in the file's name
    results: dict[str, str]  # path below the results folder -> SHA-256 of the file


def write(layout: Layout, path: Path, key: str, seed: int, results: Iterable[Path]) -> None:
    """Write the receipt of finished files. Raises LautumError when that cannot be."""
    found = {result.relative_to(layout.results).as_posix(): sha256_of_file(result) for result in results}
    schema.write(path, Receipt(key=key, seed=seed, results=found))


def check(layout: Layout, path: Path) -> None:
    """Raise Damaged when a file is no receipt, another's, or its files are not those that it was written for.

    LautumError when one of these is missing, which `withdraw` sees to.
    """
    receipt = schema.read(path, Receipt, "the receipt of a job")
    of_network = (path.parent.name, path.stem) == (receipt.key, f"seed{receipt.seed}")
    if not of_network and path.stem != f"seed{receipt.seed}-{receipt.key}":
        raise Damaged(path, f"{path} is the receipt of seed {receipt.seed}, key {receipt.key}; run again")
    for name, expected in receipt.results.items():
        result = layout.results / name
        if not result.exists():
            raise LautumError(f"{result} does not exist; run again")
        if not result.is_file() or sha256_of_file(result) != expected:
            raise Damaged(path, f"{path} is not the receipt of {result}; run again")


def withdraw(path: Path, results: Iterable[Path]) -> None:
    """Remove a receipt, or what else stands for results, if one of them is missing: the next run makes them again.

    Raises OSError when the system refuses to, and LautumError for a folder that cannot be moved away.
    """
    if path.exists() and not all(result.exists() for result in results):
        if path.is_dir():
            done = set_aside(path)
            if path.exists():
                raise LautumError(f"{path} is a folder where a file belongs; {done}")
        else:
            path.unlink(missing_ok=True)


def follow(path: Path, results: Iterable[Path]) -> None:
    """Let a file with their SHA-256 stand for results, as old as the newest, if and only if all are there.

    Raises OSError when the system refuses to, and LautumError as `write_atomically`.
    """
    results = list(results)
    withdraw(path, results)
    if all(result.exists() for result in results):
        moment = max(result.stat().st_mtime_ns for result in results)
        if not path.exists() or path.stat().st_mtime_ns != moment:
            write_text(path, "".join(f"{sha256_of_file(result)}  {result.name}\n" for result in results))
            os.utime(path, ns=(moment, moment))
