"""The job that finishes cells: post-transfer stage and evaluation of all that begin with one pre-training.

With `pretrainings_per_job` it makes several pre-trainings, too, each before the cells that begin with it.

In one process, because importing torch takes as long as a short cell. What is finished and whole is left alone, so that
a lost or damaged cell, or one that was added to the grid, is made by itself.
"""

import sys
import traceback
from pathlib import Path

from lautum.errors import Damaged, LautumError, in_one_line, is_refusal
from lautum.experiment.layout import Batch, Layout
from lautum.files import set_aside
from lautum.pipeline import environment, receipt
from lautum.pipeline.evaluate import evaluate
from lautum.pipeline.locks import lock
from lautum.pipeline.train import pretrain, transfer
from lautum.training.interruption import Interrupted, stop_requests


def finish(layout: Layout, batch: Batch) -> Path:
    """Train and evaluate the cells of a batch that are not finished; write its receipt and return its path.

    With `pretrainings_per_job` the pre-trainings that are not finished, too, each before the first cell that needs it.
    A cell that fails, whatever the exception, does not keep the others from being finished. Raises LautumError when one
    failed, Interrupted when the process was asked to stop.
    """
    records, failed = [], 0
    environment.commit()  # which is remembered: the checkout may have moved when the first record is written
    own = layout.networks(batch.cells).values() if layout.config.pretrainings_per_job else ()
    with lock(layout.checkpoint(batch.receipt).with_suffix(".lock")), stop_requests() as stop_requested:
        for cell in batch.cells:
            if stop_requested():
                raise Interrupted(f"stopped by {stop_requested()} before {cell}; run the same command again to go on")
            try:
                if cell in own:
                    pretrain(layout, cell.task, cell.method, cell.labels, cell.seed)
                transfer(layout, cell)
                records.append(evaluate(layout, cell))
            except Interrupted:
                raise
            except LautumError as error:
                failed += 1
                aside = f" ({set_aside(error.path)})" if isinstance(error, Damaged) else ""
                print(f"lautum: error: {error}{aside}", file=sys.stderr, flush=True)
            except Exception as error:  # a plugin's, say, or a device's that has no more memory
                failed += 1
                if is_refusal(error):
                    print(f"lautum: error: {in_one_line(error)}", file=sys.stderr, flush=True)
                else:
                    traceback.print_exc()
    if failed:
        raise LautumError(f"{failed} of {len(batch.cells)} cells failed; the others are finished")
    receipt.write(layout, batch.receipt, batch.key, batch.cells[0].seed, records)
    return batch.receipt
