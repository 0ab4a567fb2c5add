"""The runs of a campaign over universes in one table, universes.csv, and read back.

A row is one run: an arm (a method of the grid before it was expanded) in one universe, with how many test images it had
right after each number of post-transfer steps. The predictions themselves stay in the results folder.
"""

import hashlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lautum import paper
from lautum.errors import LautumError
from lautum.experiment.config import Config
from lautum.experiment.layout import Cell, Layout
from lautum.experiment.universes import CLAIM
from lautum.files import set_aside
from lautum.pipeline import run_record
from lautum.pipeline.run_record import RunRecord
from lautum.results import sums
from lautum.results.csv_files import read_csv
from lautum.results.records import Collected

FILE = "universes.csv"  # in the campaign's folder
MAPS = [("optimiser", "budget"), ("trained", "head")]  # factors of which the report shows every pair of levels
REMEDY = "run the campaign and `lautum collect`"
RUN = ["task", "arm", "universe", "labels", "seed"]
COLUMNS = [
    *RUN,
    "settings",  # key of all settings
    "data",  # hash of the data sets and the split: what runs of one label count and seed must have in common
    "n_images",
    "correct",  # at the end of the stage
    "predictions",  # start of their SHA-256
    "source_accuracy",  # at the end of the pre-transfer stage, on its first images
    "logit_scale",  # likewise: root mean square of the logits around their mean over the classes
    "clipped_share",  # of the pre-transfer steps
    "pretrain_seconds",
    "transfer_seconds",
    "device",
    "cpu",
    "torch",
    "commit",
]


def collect(layout: Layout, drop: bool = False) -> Collected:
    """Write the table of all finished runs.

    A run that the table has and the results folder has not stays, also one that is no longer in the grid; with `drop`
    it goes, as do those that were made with other settings or from other data, which nothing can be compared with; a
    table that cannot be read is then set aside.

    Raises Damaged for a record that is not whole, LautumError when nothing is finished, what is to stay cannot, or
    runs to be paired are of different devices.
    """
    cells, rows, path = layout.cells(), {}, layout.report / FILE
    with sums.changing(layout.report) as write:
        for cell in cells:
            if layout.record(cell).exists():
                rows[cell] = _row(layout, cell, run_record.read(layout, cell)[0])
        before, damaged = _collected_before(path, drop)
        kept = [] if drop else [cell for cell in before if cell not in rows]
        rows |= {cell: before[cell] for cell in kept}
        if not rows:
            raise LautumError(f"there is nothing to collect: no run of the campaign is finished in {layout.results}")
        known = {cell: number for number, cell in enumerate(cells)}
        table = pd.DataFrame([rows[cell] for cell in sorted(rows, key=lambda cell: known.get(cell, len(known)))])
        _require_comparable(layout, table, path, "run those again, or leave them out with `lautum collect --drop`")
        counts = sorted(
            (name for name in table if name not in COLUMNS), key=lambda name: int(name.removeprefix("after_"))
        )
        table = table[[*COLUMNS, *counts]].astype(dict.fromkeys(counts, "Int64"))
        dropped = [cell for cell in before if cell not in rows]
        text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        if damaged:
            print(f"{damaged} ({set_aside(path)})", file=sys.stderr, flush=True)
        write({FILE: text.encode()})
    return Collected(path, kept, dropped, [cell for cell in cells if cell not in rows])


def read(layout: Layout) -> pd.DataFrame:
    """The table: COLUMNS, and `after_<steps>`, empty where a run has no such snapshot; of the grid's runs.

    Raises LautumError when it is missing, is something else, or has runs made with other settings, other data or on
    different devices.
    """
    path = layout.report / FILE
    table, known = _table(path), set(layout.cells())
    table = table.loc[[_cell(row) in known for row in table.to_dict("records")]].reset_index(drop=True)
    _require_comparable(layout, table, path, REMEDY)
    return table


def _table(path: Path, remedy: str = REMEDY) -> pd.DataFrame:
    """The file, of whatever runs it has."""
    numbers = ["universe", "labels", "seed", "n_images", "correct", "source_accuracy", "logit_scale", "clipped_share"]
    table = read_csv(path, COLUMNS, numbers, remedy)
    for name in ("correct", *(name for name in table if str(name).startswith("after_"))):
        counts = pd.to_numeric(table[name], errors="coerce")
        wrong = table[name].notna() & ~(counts.between(0, table["n_images"]) & (counts % 1 == 0))
        if wrong.any() or not (name == "correct" or str(name).removeprefix("after_").isdecimal()):
            raise LautumError(f"{path}: column {name} has no numbers of test images; {remedy}")
        table[name] = counts
    if (twice := table.duplicated(RUN)).any():
        raise LautumError(f"{path}, line {int(twice.to_numpy().argmax()) + 2}: this run is there before; {remedy}")
    return table


def _collected_before(path: Path, drop: bool) -> tuple[dict[Cell, dict[str, Any]], LautumError | None]:
    """The rows of the file, by cell; with `drop`, of a table that cannot be read none, and what is wrong with it."""
    if not path.exists():
        return {}, None
    try:
        return {_cell(row): row for row in _table(path, sums.RESTORE).to_dict("records")}, None
    except LautumError as error:
        if not drop:
            raise
        return {}, error


def _require_comparable(layout: Layout, table: pd.DataFrame, path: Path, remedy: str) -> None:
    known = set(layout.cells())
    for row in table.to_dict("records"):
        cell = _cell(row)
        if cell in known and row["settings"] != layout.settings_key(cell.task, cell.method, cell.labels):
            raise LautumError(f"{path}: {cell.method}, {cell.labels} labels, was made with other settings; {remedy}")
    if (table.groupby(["task", "labels", "seed"])["data"].nunique() > 1).any():
        raise LautumError(f"{path}: runs of one label count and seed were made from different data; {remedy}")
    devices = table.dropna(subset="device").groupby(["task", "universe", "labels", "seed"])["device"]
    counts = devices.nunique()
    for group in counts.index[counts > 1]:
        names, (_, universe, labels, seed) = devices.get_group(group).unique(), group
        raise LautumError(
            f"{path}: of universe {universe}, {labels} labels, seed {seed} runs are of {' and of '.join(names)}, so "
            f"they cannot be compared; remove the records of one device below {layout.results} and run those again, or "
            "leave out what only the table has with `lautum collect --drop`"
        )


def complete(layout: Layout, table: pd.DataFrame) -> pd.DataFrame:
    """The runs of those blocks of universes, which share a pre-transfer choice, of which none is missing."""
    design, methods = layout.config.universes, layout.config.methods
    assert design is not None
    numbers = [methods[cell.method].universe for cell in layout.cells()]
    wanted = pd.Series([number // design.crossed for number in numbers if number is not None]).value_counts()
    block = table["universe"] // design.crossed
    found = block.value_counts().reindex(wanted.index, fill_value=0)
    return table.loc[block.isin(wanted.index[found == wanted])]


def figure_names(config: Config) -> list[str]:
    """The figures of the campaign's report: which, depends on what is declared. Of `report.universes_figures`."""
    design, task = config.universes, config.tasks[config.grid.tasks[0]]
    assert design is not None
    names, chosen = ["curve", "levels", "mechanism"], {*design.of_claim(), "budget"}
    if not any(math.isnan(paper.accuracy(task.paper_table, CLAIM[1], labels)) for labels in task.label_counts):
        names.append("distance")
    arms = {config.methods[method].arm for method in config.grid.methods}
    if sum(set(pair) <= arms for pair in config.comparisons) > 1:
        names.append("others")
    return names + [f"map-{one}-{other}" for one, other in MAPS if {one, other} <= chosen]


def long(layout: Layout, table: pd.DataFrame) -> pd.DataFrame:
    """One row for each run and budget: RUN, budget (post-transfer steps), accuracy.

    The end of a stage counts as the longest budget, also for a method whose stage is measured in passes.
    """
    config, task = layout.config, layout.config.grid.tasks[0]
    lengths = {getattr(config.transfer_settings(task, method), "steps", 0) for method in config.grid.methods}
    after = {name: int(name.removeprefix("after_")) for name in table if name.startswith("after_")}
    counts = table.rename(columns=after | {"correct": max(lengths)})
    runs = counts.melt([*RUN, "n_images"], [*after.values(), max(lengths)], "budget", "count").dropna(subset="count")
    runs["accuracy"] = runs["count"].astype(float) / runs["n_images"]
    return runs.reindex(columns=[*RUN, "budget", "accuracy"]).astype({"budget": int}).reset_index(drop=True)


def _row(layout: Layout, cell: Cell, record: RunRecord) -> dict[str, Any]:
    method = layout.config.methods[cell.method]
    hashes = record.source_train_sha256, record.target_train_sha256, record.target_eval_sha256, record.split_sha256
    clipped = record.pretrain.curve.get("clipped_share", [0.0])
    row = {
        "task": cell.task,
        "arm": method.arm,
        "universe": method.universe,
        "labels": cell.labels,
        "seed": cell.seed,
        "settings": record.settings,
        "data": hashlib.sha256("".join(hashes).encode()).hexdigest()[:12],
        "n_images": record.n_images,
        "correct": record.correct,
        "predictions": record.predictions_sha256[:12],
        "source_accuracy": record.pretrain.accuracy,
        "logit_scale": record.pretrain.logit_scale,
        "clipped_share": float(np.mean(clipped)),
        "pretrain_seconds": record.pretrain.seconds,
        "transfer_seconds": record.transfer.seconds,
        "device": record.environment.device,
        "cpu": record.environment.cpu,
        "torch": record.environment.torch,
        "commit": record.environment.commit,
    }
    return row | {f"after_{snapshot.steps}": snapshot.correct for snapshot in record.snapshots}


def _cell(row: dict[str, Any]) -> Cell:
    """The cell of a row, whose method is named as `lautum.experiment.universes.expand` does."""
    return Cell(row["task"], f"{row['arm']}-u{int(row['universe']):02d}", int(row["labels"]), int(row["seed"]))
