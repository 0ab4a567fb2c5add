"""Finished cells gathered into a few small files, from which every table, figure and page can be rendered again without
training or data.

reports/<name>/records.csv                 one row for each cell
reports/<name>/predictions.safetensors.gz  the predicted class of every evaluated image, one uint8 vector for each cell
reports/<name>/curves.csv.gz               the training curve of every stage that the cells passed through
reports/<name>/examples.safetensors        for each task, labelled target images of its first cell
reports/<name>/settings.json               the settings that the cells were made with, by their hash
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lautum.errors import LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.files import gzipped, packed, packed_json, set_aside
from lautum.pipeline import loading, run_record
from lautum.results import sums
from lautum.results.collected import (
    CURVE_AXES,
    Results,
    cell_name,
    cells_of,
    load,
    read_runs,
    require_comparable,
    sharing_cells,
    truth_name,
)

EXAMPLES_PER_CLASS = 5


@dataclass(frozen=True)
class Collected:
    """What `collect` did."""

    path: Path  # of records.csv
    kept: list[Cell]  # that are not in the results folder and stay from what was collected before
    dropped: list[Cell]  # likewise, and are gone from the files
    missing: list[Cell]  # of the cells that were asked for, neither there nor here


def collect(layout: Layout, cells: list[Cell] | None = None, drop: bool = False) -> Collected:
    """Write the files for those of `cells` (default: the grid's) that are finished.

    A run that the files have and the results folder has not stays in them, also one that is no longer in the grid; with
    `drop`, it goes. So a campaign can be run in parts, in several places. (The code can have changed between them; each
    row names its commit.)

    Raises Damaged for a record that is cut off, belongs to something else, or disagrees with its predictions, and
    LautumError when no cell is finished, or what is to stay cannot: it was made with other settings than the
    configuration's, cannot be compared with the rest (other data, another device), or its files are not whole.
    """
    cells = layout.cells() if cells is None else cells
    with sums.changing(layout.report) as write:
        gathered = _gather(layout, cells)
        earlier = [cell for cell in _collected_before(layout, drop) if cell not in gathered.rows]
        if not drop:
            _keep(gathered, layout, cells, earlier)
        if not gathered.rows:
            raise LautumError(f"there is nothing to collect: no cell of the grid is finished in {layout.results}")
        write(_contents(gathered, layout, cells))
    kept, dropped = ([], earlier) if drop else (earlier, [])
    missing = [cell for cell in cells if cell not in gathered.rows]
    return Collected(layout.report / "records.csv", kept, dropped, missing)


@dataclass
class _Gathered:
    """What is about to be written."""

    sharing: dict[Path, list[Cell]]  # a pre-transfer stage that several cells share has one curve
    rows: dict[Cell, dict] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    curves: dict[Path, pd.DataFrame] = field(default_factory=dict)
    other_curves: list[pd.DataFrame] = field(default_factory=list)  # of cells that are no longer in the grid
    examples: dict[str, np.ndarray] = field(default_factory=dict)
    axes: dict[str, dict] = field(default_factory=dict)  # settings that were collected before


def _gather(layout: Layout, cells: list[Cell]) -> _Gathered:
    """From the results folder."""
    sharing: dict[Path, list[Cell]] = {}
    for cell in cells:
        sharing.setdefault(_stage_path(layout, "pretrain", cell), []).append(cell)
        sharing[_stage_path(layout, "transfer", cell)] = [cell]
    gathered = _Gathered(sharing, examples=_examples(layout))
    for cell in cells:
        if not layout.record(cell).exists():
            continue
        record, predictions, labels, gathered.classes[cell.task] = run_record.read(layout, cell)
        gathered.rows[cell] = record.row()
        gathered.arrays[cell_name(cell)] = predictions
        gathered.arrays[truth_name(cell, record.part)] = labels
        for stage, cost in (("pretrain", record.pretrain), ("transfer", record.transfer)):
            if cost.curve:
                path = _stage_path(layout, stage, cell)
                gathered.curves[path] = _curve(sharing[path], stage, pd.DataFrame(cost.curve))
    return gathered


def _collected_before(layout: Layout, drop: bool) -> list[Cell]:
    """The cells that the files have. With `drop`, a table that cannot be read is set aside."""
    path = layout.report / "records.csv"
    if not path.exists():
        return []
    try:
        return cells_of(read_runs(layout.report, sums.RESTORE))
    except LautumError as error:
        if not drop:
            raise
        print(f"{error} ({set_aside(path)})", file=sys.stderr, flush=True)
        return []


def _keep(gathered: _Gathered, layout: Layout, cells: list[Cell], kept: list[Cell]) -> None:
    """Add to what was gathered for `cells` what the files have of `kept`."""
    if not kept:
        return
    earlier = load(layout.report, kept, sums.RESTORE)
    in_grid = set(cells).intersection(kept)
    for cell, row in zip(cells_of(earlier.runs), earlier.runs.to_dict("records"), strict=True):
        if cell in in_grid and row["settings"] != layout.settings_key(cell.task, cell.method, cell.labels):
            raise LautumError(
                f"{layout.report / 'records.csv'}: {cell_name(cell)} was made with other settings than the "
                "configuration's and is not finished with these; run the campaign, or `lautum collect --drop`"
            )
        truth, classes = truth_name(cell, row["part"]), earlier.classes[cell.task]
        images = earlier.arrays[truth]
        if not (
            np.array_equal(gathered.arrays.setdefault(truth, images), images)
            and gathered.classes.setdefault(cell.task, classes) == classes
        ):
            raise LautumError(
                f"{layout.report / 'records.csv'}: {cell_name(cell)} was evaluated on other images than those in "
                f"{layout.results}; take another name for the campaign, or `lautum collect --drop`"
            )
        gathered.rows[cell] = row
        gathered.arrays[cell_name(cell)] = earlier.arrays[cell_name(cell)]
    together = pd.DataFrame([gathered.rows[cell] for cell in cells if cell in gathered.rows])
    if in_grid:
        require_comparable(together, "run them again, or `lautum collect --drop`")
    _keep_curves(gathered, layout, earlier.curves, in_grid, set(kept) - in_grid)
    known = {name: some for name, some in earlier.examples.items() if name.split("/")[0] in gathered.classes}
    gathered.examples = known | gathered.examples
    gathered.axes = earlier.axes


def _keep_curves(
    gathered: _Gathered, layout: Layout, curves: pd.DataFrame, in_grid: set[Cell], others: set[Cell]
) -> None:
    for (task, stage, *sharing), table in curves.groupby(CURVE_AXES[:-1], sort=False):
        cells = sharing_cells(task, *sharing)
        table = table.drop(columns=CURVE_AXES[:-1])
        for cell in (cell for cell in cells if cell in in_grid):
            path = _stage_path(layout, stage, cell)
            if path not in gathered.curves:
                gathered.curves[path] = _curve(gathered.sharing[path], stage, table.copy())
        # For each label count by itself: all methods at all label counts would be more cells than these.
        for labels in dict.fromkeys(cell.labels for cell in cells):
            some = [cell for cell in cells if cell in others and cell.labels == labels]
            if some:
                gathered.other_curves.append(_curve(some, stage, table.copy()))


def _contents(gathered: _Gathered, layout: Layout, cells: list[Cell]) -> dict[str, bytes]:
    """The files by name, records.csv last."""
    curves = [gathered.curves[stage] for stage in gathered.sharing if stage in gathered.curves]
    curves = pd.concat([*curves, *gathered.other_curves])
    text = curves.to_csv(index=False, lineterminator="\n", float_format="%.4g")
    axes = gathered.axes | {
        layout.settings_key(*cell): layout.settings(*cell)
        for cell in dict.fromkeys((cell.task, cell.method, cell.labels) for cell in cells if cell in gathered.rows)
    }
    used = {row["settings"] for row in gathered.rows.values()}
    in_order = [cell for cell in dict.fromkeys([*cells, *gathered.rows]) if cell in gathered.rows]
    table = pd.DataFrame([gathered.rows[cell] for cell in in_order], columns=run_record.COLUMNS)
    return {
        "predictions.safetensors.gz": gzipped(packed(gathered.arrays, gathered.classes)),
        "examples.safetensors": packed(gathered.examples, {}),
        "curves.csv.gz": gzipped(text.encode()),
        "settings.json": packed_json({key: some for key, some in axes.items() if key in used}),
        "records.csv": table.to_csv(index=False, lineterminator="\n").encode(),
    }


def read(layout: Layout, cells: list[Cell] | None = None) -> Results:
    """What `collect` wrote for a configuration, or for some `cells` of it.

    Raises LautumError as `load`, and when a row was made with other settings than the configuration's.
    """
    results = load(layout.report, layout.cells() if cells is None else cells)
    for run in results.runs.itertuples():
        if run.settings != layout.settings_key(run.task, run.method, run.labels):
            raise LautumError(
                f"{layout.report / 'records.csv'}: {cell_name(run)} was made with other settings than the "
                "configuration's; run the campaign and `lautum collect` again"
            )
    return results


def _stage_path(layout: Layout, stage: str, cell: Cell) -> Path:
    """The network that a stage of a cell ends with: the same path for all cells that share it."""
    if stage == "pretrain":
        return layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    return layout.transferred(cell)


def _curve(cells: list[Cell], stage: str, table: pd.DataFrame) -> pd.DataFrame:
    """The curve of one stage, under the names of all methods and label counts of the grid that share it."""
    methods = "+".join(dict.fromkeys(cell.method for cell in cells))
    labels = "+".join(dict.fromkeys(str(cell.labels) for cell in cells))
    for position, value in enumerate((cells[0].task, stage, methods, labels, cells[0].seed)):
        table.insert(position, CURVE_AXES[position], value)
    return table


def _examples(layout: Layout) -> dict[str, np.ndarray]:
    """The first labelled images of each class, at the smallest label count and first seed of each task.

    None of a selection: its page shows trials.
    """
    arrays = {}
    if layout.config.evaluate.part == "validation":
        return arrays
    for task in layout.config.grid.tasks:
        definition = layout.config.tasks[task]
        labels, seed = layout.shown_split(task)
        split = layout.split(task, labels, seed)
        prepared = layout.prepared(definition.target, "train")
        if not (split.exists() and prepared.exists()):  # nothing of this task has run yet
            continue
        target, drawn, classes = loading.target(layout, task, labels, seed)
        labelled = drawn.labelled
        chosen = [labelled[target.labels[labelled] == number][:EXAMPLES_PER_CLASS] for number in classes]
        arrays[f"{task}/images"] = target.images[np.concatenate(chosen)]
        arrays[f"{task}/labels"] = np.repeat(np.arange(len(classes)), [len(some) for some in chosen]).astype(np.uint8)
    return arrays
