"""Reads every finished file of a campaign and sets aside the damaged ones, so that the next run makes them again."""

from pathlib import Path

from lautum import schema
from lautum.data import datasets, splits
from lautum.errors import Damaged
from lautum.experiment.layout import Layout
from lautum.files import set_aside
from lautum.pipeline import receipt, run_record
from lautum.pipeline.run_record import StageCost
from lautum.training import checkpoint


def verify(layout: Layout) -> tuple[int, list[Path]]:
    """Check prepared data, splits, networks, costs and records of the grid; missing files are not an error.

    Returns the number of whole files and the paths of the damaged ones, which are now called NAME.damaged.
    """
    whole, damaged = 0, []
    for path, check in _files(layout).items():
        if not path.exists():
            continue
        try:
            check()
            whole += 1
        except Damaged as error:
            damaged.append(error.path)
            set_aside(error.path)
    return whole, damaged


def _files(layout: Layout) -> dict:
    """Every file that the grid leads to, with the function that reads and checks it."""
    checks = {}
    for cell in layout.cells():
        task = layout.config.tasks[cell.task]
        for dataset, part in ((task.source, "train"), (task.target, "train"), (task.target, "test")):
            path = layout.prepared(dataset, part)
            checks[path] = lambda path=path: datasets.load(path)
        split = layout.split(cell.task, cell.labels, cell.seed)
        checks[split] = lambda path=split: splits.read(path)
        pretrained = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
        for network in (pretrained, layout.transferred(cell)):
            cost = network.with_suffix(".json")
            checks[network] = lambda path=network: checkpoint.check(path)
            checks[cost] = lambda path=cost: schema.read(path, StageCost, what="the cost of a stage")
        checks[layout.record(cell)] = lambda cell=cell: run_record.read(layout, cell)
    # Of this campaign or another in the same folder: a receipt names its records.
    for path in sorted(layout.results.glob("finished-*/**/*.json")):
        checks[path] = lambda path=path: receipt.check(layout, path)
    return checks
