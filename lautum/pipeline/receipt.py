"""What the job of a batch leaves for the graph: that all its cells are finished, and with which records."""

from lautum import schema
from lautum.errors import Damaged
from lautum.experiment.layout import Batch, Layout
from lautum.files import sha256_of_file
from lautum.schema import Strict


class Receipt(Strict):
    """The records of a batch."""

    records: dict[str, str]  # path below the results folder -> SHA-256 of the file


def check(layout: Layout, batch: Batch) -> None:
    """Raise Damaged when a batch's receipt is none, or its records are not those that it was written for."""
    receipt = schema.read(batch.receipt, Receipt, "the receipt of a batch")
    for cell in batch.cells:
        record = layout.record(cell)
        expected = receipt.records.get(record.relative_to(layout.results).as_posix())
        if not record.exists() or sha256_of_file(record) != expected:
            raise Damaged(batch.receipt, f"{batch.receipt} is older than {record}; run again")


def withdraw(layout: Layout, batches: list[Batch]) -> None:
    """Remove the receipts of batches of which a record is missing, so that the next run finishes them."""
    for batch in batches:
        if batch.receipt.exists() and not all(layout.record(cell).exists() for cell in batch.cells):
            batch.receipt.unlink(missing_ok=True)
