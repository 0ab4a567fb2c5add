"""Tables that a step of the graph wrote, read back: whole, with their columns, and numbers where numbers belong."""

import gzip
import io
import zlib
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lautum.errors import Damaged, LautumError
from lautum.files import read_bytes
from lautum.results import sums

WHOLE = {
    "labels",
    "seed",
    "n_images",
    "correct",
    "threads",
    "step",
    "runs",
    "rung",
    "universe",
}  # columns of whole numbers
# Columns of text, which may look like a number: a task may be called 2019, a method 1.10, a hash is 12345e67.
TEXT = (
    "task source target method methods arm trial stage pretrain_objective transfer_objective key settings data "
    "predictions part device cpu python torch commit "
    "split_sha256 source_train_sha256 target_train_sha256 target_eval_sha256 predictions_sha256"
).split()
UNREADABLE = (
    pd.errors.ParserError,
    pd.errors.EmptyDataError,
    UnicodeDecodeError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,  # a compressed file that is cut off
)


def read_csv(
    path: Path, columns: Sequence[str], numbers: Sequence[str], remedy: str, texts: Sequence[str] = ()
) -> pd.DataFrame:
    """A table that a step of the graph wrote: with at least `columns` and `numbers`, which hold nothing else.

    Those of `columns` that are in TEXT, and `texts`, are text.

    Raises LautumError, with `remedy` as the advice, when it is missing or something else.
    """
    sums.require_unaltered(path, remedy)
    types: dict[Hashable, type] = dict.fromkeys([*(name for name in TEXT if name in columns), *texts], str)
    try:
        content = gzip.decompress(read_bytes(path, remedy)) if path.suffix == ".gz" else read_bytes(path, remedy)
        table = pd.read_csv(io.BytesIO(content), dtype=types, keep_default_na=False, na_values=[""])
    except Damaged as error:
        raise LautumError(str(error)) from error  # perhaps the only copy: it stays where it is
    except UNREADABLE as error:
        raise LautumError(f"{path} is not what was written there ({error}); {remedy}") from None
    lacking = [column for column in dict.fromkeys([*columns, *numbers]) if column not in table.columns]
    if lacking:
        raise LautumError(f"{path} has no column {', '.join(lacking)}; {remedy}")
    for column in numbers:
        found = pd.Series(np.nan, table.index) if table[column].dtype == bool else _numbers(table[column])
        wrong = ~np.isfinite(found)
        if column in WHOLE:
            wrong |= (found % 1 != 0) | (found.abs() >= 2**53)
        if wrong.any():
            line = int(wrong.to_numpy().argmax()) + 2
            raise LautumError(f"{path}, line {line}: no number in column {column}; {remedy}")
    return table


def _numbers(column: pd.Series) -> pd.Series:
    """As floats, NaN for what is none."""
    return pd.Series(pd.to_numeric(column.astype(str), errors="coerce"), column.index).astype(float)
