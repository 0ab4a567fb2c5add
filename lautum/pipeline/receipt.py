"""What the job of a batch leaves for the graph: that all its cells are finished, and with which records."""

from pathlib import Path

from lautum import schema
from lautum.errors import Damaged
from lautum.experiment.layout import Batch, Layout
from lautum.files import sha256_of_file
from lautum.schema import Strict


class Receipt(Strict):
    """The records of a batch."""

    records: dict[str, str]  # path below the results folder -> SHA-256 of the file


def check(layout: Layout, path: Path) -> None:
    """Raise Damaged when a file is no receipt, or its records are not those that it was written for."""
    for name, expected in schema.read(path, Receipt, "the receipt of a batch").records.items():
        record = layout.results / name
        if not record.is_file() or sha256_of_file(record) != expected:
            raise Damaged(path, f"{path} is not the receipt of {record}; run again")


def withdraw(layout: Layout, batches: list[Batch]) -> None:
    """Remove the receipts of batches of which a record is missing, so that the next run finishes them."""
    for batch in batches:
        records = [layout.record(cell) for cell in batch.cells]
        whole = all(path.exists() and path.with_suffix(".safetensors").exists() for path in records)
        if batch.receipt.exists() and not whole:
            batch.receipt.unlink(missing_ok=True)
