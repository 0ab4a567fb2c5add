"""What the job of a batch leaves for the graph: that all its cells are finished, and with which records."""

from pathlib import Path

from pydantic import NonNegativeInt

from lautum import schema
from lautum.errors import Damaged
from lautum.experiment.layout import Batch, Layout
from lautum.files import set_aside, sha256_of_file
from lautum.schema import Strict


class Receipt(Strict):
    """The records of a batch."""

    key: str  # of the batch, and
    seed: NonNegativeInt  # as in the file's name
    records: dict[str, str]  # path below the results folder -> SHA-256 of the file


def check(layout: Layout, path: Path) -> None:
    """Raise Damaged when a file is no receipt, another's, or its records are not those that it was written for."""
    receipt = schema.read(path, Receipt, "the receipt of a batch")
    if path.stem != f"seed{receipt.seed}-{receipt.key}":
        raise Damaged(path, f"{path} is the receipt of seed {receipt.seed}, batch {receipt.key}; run again")
    for name, expected in receipt.records.items():
        record = layout.results / name
        if not record.is_file() or sha256_of_file(record) != expected:
            raise Damaged(path, f"{path} is not the receipt of {record}; run again")


def withdraw(layout: Layout, batches: list[Batch]) -> None:
    """Remove the receipts of batches of which a record is missing, so that the next run finishes them."""
    for batch in batches:
        if not batch.receipt.exists():
            continue
        records = [layout.record(cell) for cell in batch.cells]
        if not all(path.exists() and path.with_suffix(".safetensors").exists() for path in records):
            try:
                batch.receipt.unlink(missing_ok=True)
            except OSError:  # a folder
                set_aside(batch.receipt)
