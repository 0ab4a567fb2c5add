"""The runs of a campaign over universes in one table, universes.csv, and read back.

A row is one run: an arm (a method of the grid before it was expanded) in one universe, with how many test images it had
right after each number of post-transfer steps. The predictions themselves stay in the results folder.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lautum.errors import LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.pipeline import run_record
from lautum.pipeline.run_record import RunRecord
from lautum.results import sums
from lautum.results.csv_files import read_csv

FILE = "universes.csv"  # in the campaign's folder
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


def collect(layout: Layout) -> tuple[Path, list[Cell]]:
    """Write the table of all finished runs; returns its path and the cells that are missing.

    What the table has of runs that are not in the results folder stays, if it was made with the same settings. Raises
    Damaged for a record that is not whole, LautumError when nothing is finished.
    """
    cells, rows = layout.cells(), {}
    for cell in cells:
        if layout.record(cell).exists():
            rows[cell] = _row(layout, cell, run_record.read(layout, cell)[0])
    path = layout.report / FILE
    if path.exists():
        for row in read(layout).to_dict("records"):
            cell = Cell(row["task"], _method(row["arm"], row["universe"]), row["labels"], row["seed"])
            rows.setdefault(cell, {name: value for name, value in row.items() if not pd.isna(value)})
    if not rows:
        raise LautumError(f"there is nothing to collect: no run of the campaign is finished in {layout.results}")
    table = pd.DataFrame([rows[cell] for cell in cells if cell in rows])
    counts = sorted((name for name in table if name not in COLUMNS), key=lambda name: int(name.removeprefix("after_")))
    table = table[[*COLUMNS, *counts]].astype(dict.fromkeys(counts, "Int64"))
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    sums.write(layout.report, {FILE: text.encode()})
    return path, [cell for cell in cells if cell not in rows]


def read(layout: Layout) -> pd.DataFrame:
    """The table: COLUMNS, and `after_<steps>`, empty where a run has no such snapshot; of the grid's runs.

    Raises LautumError when it is missing, is something else, or has runs made with other settings or other data.
    """
    path, remedy = layout.report / FILE, "run the campaign and `lautum collect`"
    numbers = ["universe", "labels", "seed", "n_images", "correct", "source_accuracy", "logit_scale", "clipped_share"]
    texts: dict[Any, type] = {name: str for name in ("settings", "data", "predictions", "commit")}
    table = read_csv(path, COLUMNS, numbers, remedy, texts)
    known = {(cell.task, cell.method, cell.labels, cell.seed) for cell in layout.cells()}
    methods = [_method(row.arm, row.universe) for row in table.itertuples()]
    keys = zip(table["task"], methods, table["labels"], table["seed"], strict=True)
    table = table.loc[[key in known for key in keys]].reset_index(drop=True)
    for row in table.itertuples():
        method = _method(row.arm, row.universe)
        if row.settings != layout.settings_key(str(row.task), method, int(row.labels)):
            raise LautumError(f"{path}: {method}, {row.labels} labels, was made with other settings; {remedy}")
    if (table.groupby(["task", "labels", "seed"])["data"].nunique() > 1).any():
        raise LautumError(f"{path}: runs of one label count and seed were made from different data; {remedy}")
    return table


def complete(layout: Layout, table: pd.DataFrame) -> pd.DataFrame:
    """The runs of those universes of which none is missing."""
    methods = layout.config.methods
    wanted = pd.Series([methods[cell.method].universe for cell in layout.cells()]).value_counts()
    found = table["universe"].value_counts().reindex(wanted.index, fill_value=0)
    return table.loc[table["universe"].isin(wanted.index[found == wanted])]


def long(layout: Layout, table: pd.DataFrame) -> pd.DataFrame:
    """One row for each run and budget: RUN, budget (post-transfer steps), accuracy.

    The end of a stage counts as the longest budget, also for a method whose stage is measured in passes.
    """
    task = layout.config.tasks[layout.config.grid.tasks[0]]
    last = int(task.transfer["steps"])
    after = {name: int(name.removeprefix("after_")) for name in table if name.startswith("after_")}
    counts = table.rename(columns=after | {"correct": last})
    runs = counts.melt([*RUN, "n_images"], [*after.values(), last], "budget", "count").dropna(subset="count")
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


def _method(arm: str, universe: int) -> str:
    """The name of an arm in a universe, as `lautum.experiment.universes.expand` gives it."""
    return f"{arm}-u{universe:02d}"
