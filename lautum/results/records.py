"""Finished cells gathered into a few small files, from which every table, figure and page can be rendered again without
training or data.

reports/<name>/records.csv             one row for each cell
reports/<name>/predictions.safetensors the predicted class of every evaluated image, one uint8 vector for each cell
reports/<name>/curves.csv              the training curve of every stage that the cells passed through
reports/<name>/examples.safetensors    for each task, labelled target images of its first cell
"""

import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lautum.data import datasets, splits
from lautum.errors import Damaged, LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.files import read_arrays, sha256_of_arrays, write_arrays, write_text
from lautum.pipeline import run_record

# What runs must have in common to be compared, and for which of them.
IN_COMMON = {
    "source_train_sha256": ["task"],
    "target_train_sha256": ["task"],
    "target_eval_sha256": ["task"],
    "split_sha256": ["task", "labels", "seed"],
    "device": ["task", "labels", "seed"],
}
CURVE_AXES = ["task", "stage", "methods", "labels", "seed", "step"]
EXAMPLES_PER_CLASS = 5


@dataclass(frozen=True)
class Results:
    """What `collect` gathered."""

    runs: pd.DataFrame  # run_record.COLUMNS, one row for each cell
    # "task/method/n50/seed0": uint8 (N,); "task/labels": the truth, of validation images "task/n50/seed0/labels"
    predictions: dict[str, np.ndarray]
    classes: dict[str, list[str]]  # of each task, in the order of its class numbers
    curves: pd.DataFrame  # CURVE_AXES and a column for each logged quantity, NaN where a stage does not log it
    examples: dict[str, np.ndarray]  # "task/images" uint8 (n, C, H, W), "task/labels" uint8 (n,)

    def truth(self, cell) -> np.ndarray:
        """The true class of each image that a cell (a row of `runs`) was evaluated on, uint8 (N,)."""
        return self.predictions[_truth(cell, cell.part)]

    def correct(self, cells: pd.DataFrame) -> np.ndarray:
        """Which images each of `cells` (rows of one task's runs) predicted correctly, bool (cells, N)."""
        return np.stack([self.predictions[_name(cell)] == self.truth(cell) for cell in cells.itertuples()])


def collect(layout: Layout, cells: list[Cell] | None = None, keep: bool = False) -> tuple[Path, list[Cell], list[Cell]]:
    """Write the four files for those of `cells` (default: the grid's) that are finished.

    With `keep`, a cell that is not among the results keeps its place in the files if they have it, made with the same
    settings: a campaign can be run in parts, in several places. (The code can have changed between them; each row names
    its commit.) Returns the path of records.csv, the cells that were kept and those that are missing.

    Raises Damaged for a record that is cut off, belongs to something else, or disagrees with its predictions, and
    LautumError when no cell is finished, or what is kept cannot be compared with the rest (other data, another device).
    """
    cells = layout.cells() if cells is None else cells
    gathered = _gather(layout, cells)
    kept = _merge_earlier(gathered, layout, cells) if keep and (layout.report / "records.csv").exists() else []
    if not gathered.rows:
        raise LautumError(f"there is nothing to collect: no cell of the grid is finished in {layout.results}")
    return _write(gathered, layout, cells), kept, [cell for cell in cells if cell not in gathered.rows]


@dataclass
class _Gathered:
    """What is about to be written."""

    sharing: dict[Path, list[Cell]]  # a pre-transfer stage that several cells share has one curve
    rows: dict[Cell, dict] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    classes: dict[str, list[str]] = field(default_factory=dict)
    curves: dict[Path, pd.DataFrame] = field(default_factory=dict)
    examples: dict[str, np.ndarray] = field(default_factory=dict)


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
        gathered.arrays[_name(cell)] = predictions
        gathered.arrays[_truth(cell, record.part)] = labels
        for stage, cost in (("pretrain", record.pretrain), ("transfer", record.transfer)):
            if cost.curve:
                path = _stage_path(layout, stage, cell)
                gathered.curves[path] = _curve(sharing[path], stage, pd.DataFrame(cost.curve))
    return gathered


def _merge_earlier(gathered: _Gathered, layout: Layout, cells: list[Cell]) -> list[Cell]:
    """Add what the files have of cells that are not in the results folder; returns these cells."""
    kept = [cell for cell in _with_same_settings(layout, cells) if cell not in gathered.rows]
    earlier = read(layout, kept)
    for cell, row in zip(_cells(earlier.runs), earlier.runs.to_dict("records"), strict=True):
        gathered.rows[cell], gathered.classes[cell.task] = row, earlier.classes[cell.task]
        names = (_name(cell), _truth(cell, row["part"]))
        gathered.arrays |= {name: earlier.predictions[name] for name in names}
    together = pd.DataFrame(gathered.rows.values(), columns=run_record.COLUMNS)
    require_comparable(together, "run them again, or collect without --keep")
    for axes, table in earlier.curves.groupby(CURVE_AXES[:-1], sort=False):
        task, stage, methods, labels, seed = axes
        sharer = next(cell for cell in _sharing(task, methods, labels, seed) if cell in kept)
        path = _stage_path(layout, stage, sharer)
        if path not in gathered.curves:
            gathered.curves[path] = _curve(gathered.sharing[path], stage, table.drop(columns=CURVE_AXES[:-1]))
    known = {name: some for name, some in earlier.examples.items() if name.split("/")[0] in gathered.classes}
    gathered.examples = known | gathered.examples
    return kept


def _write(gathered: _Gathered, layout: Layout, cells: list[Cell]) -> Path:
    """Write the four files, records.csv last; returns its path."""
    folder, path = layout.report, layout.report / "records.csv"
    classes = json.dumps(gathered.classes, sort_keys=True)
    write_arrays(folder / "predictions.safetensors", gathered.arrays, {"json": classes})
    write_arrays(folder / "examples.safetensors", gathered.examples, {})
    curves = pd.concat([gathered.curves[stage] for stage in gathered.sharing if stage in gathered.curves])
    write_text(folder / "curves.csv", curves.to_csv(index=False, lineterminator="\n", float_format="%.4g"))
    rows = [gathered.rows[cell] for cell in cells if cell in gathered.rows]
    table = pd.DataFrame(rows, columns=run_record.COLUMNS)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def read(layout: Layout, cells: list[Cell] | None = None) -> Results:
    """What `collect` wrote for a configuration, or for some `cells` of it.

    Raises LautumError when a file is missing or not what `collect` writes, when a row was made with other settings than
    the configuration's, or when accuracies and predictions disagree.
    """
    folder = layout.report
    remedy = "run `lautum collect`"
    numbers = ["labels", "seed", "accuracy", "n_images", "correct"]
    texts = {"key": str, "settings": str, "commit": str}
    runs = read_csv(folder / "records.csv", run_record.COLUMNS, numbers, remedy, texts)
    curves = read_csv(folder / "curves.csv", CURVE_AXES, ["seed", "step"], remedy, {"labels": str})
    try:
        predictions, metadata = read_arrays(folder / "predictions.safetensors", "run `lautum collect` again")
        examples, _ = read_arrays(folder / "examples.safetensors", "run `lautum collect` again")
    except Damaged as error:
        raise LautumError(str(error)) from error  # not a result: it stays where it is
    try:
        classes = json.loads(metadata["json"])
    except (KeyError, ValueError):
        raise LautumError(
            f"{folder / 'predictions.safetensors'} is not what `lautum collect` writes; run it again"
        ) from None
    # What is no longer in the grid is left out.
    named = set(layout.cells() if cells is None else cells)
    runs = runs[[cell in named for cell in _cells(runs)]]
    axes = list(zip(curves["task"], curves["methods"], curves["labels"], curves["seed"], strict=True))
    shown = {curve for curve in set(axes) if named.intersection(_sharing(*curve))}
    curves = curves[[curve in shown for curve in axes]]
    for row in runs.itertuples():
        if row.settings != layout.settings_key(row.task, row.method, row.labels):
            raise LautumError(
                f"{folder / 'records.csv'}: {_name(row)} was made with other settings than the configuration's; "
                "run the campaign and `lautum collect` again"
            )
        predicted, labels = predictions.get(_name(row)), predictions.get(_truth(row, row.part))
        if predicted is None or labels is None or len(predicted) != len(labels):
            raise LautumError(
                f"{folder / 'predictions.safetensors'} lacks the {row.n_images} predictions of {_name(row)}; "
                "run `lautum collect` again"
            )
        intact = sha256_of_arrays(predicted) == row.predictions_sha256 and (predicted == labels).sum() == row.correct
        if not intact or abs(row.accuracy - row.correct / len(labels)) > 1e-9:
            raise LautumError(
                f"{folder / 'predictions.safetensors'}: the predictions of {_name(row)} are not those of its record; "
                "run `lautum collect` again"
            )
    return Results(runs.reset_index(drop=True), predictions, classes, curves, examples)


def require_comparable(runs: pd.DataFrame, remedy: str) -> None:
    """Refuse rows of COLUMNS that do not have IN_COMMON, with a LautumError that ends in `remedy`."""
    for column, axes in IN_COMMON.items():
        differ = runs.groupby(axes)[column].transform("nunique") > 1
        if differ.any():
            where = ", ".join(f"{axis} {value}" for axis, value in runs.loc[differ, axes].iloc[0].items())
            raise LautumError(f"records of {where} differ in {column}, so they cannot be compared; {remedy}")


def summary(folder: Path) -> dict:
    """What a campaign's records hold, in words: one row of the report's list of campaigns."""
    if not (folder / "records.csv").exists():
        return {
            "Campaign": folder.name,
            "Part": "not run",
            "Tasks": "",
            "Methods": 0,
            "Seeds": "",
            "Runs": 0,
            "Code": "",
        }
    runs = read_csv(folder / "records.csv", run_record.COLUMNS, ["seed"], "run `lautum collect`", {"commit": str})
    return {
        "Campaign": folder.name,
        "Part": ", ".join(runs["part"].unique()),
        "Tasks": ", ".join(runs["task"].unique()),
        "Methods": runs["method"].nunique(),
        "Seeds": ranges(runs["seed"]),
        "Runs": len(runs),
        "Code": ", ".join(re.sub(r"^([0-9a-f]{7})[0-9a-f]*", r"\1", commit) for commit in runs["commit"].unique()),
    }


def ranges(numbers: pd.Series) -> str:
    """1, 2, 3, 7 as "1–3, 7"."""
    ordered = pd.Series(sorted(numbers.unique()))
    runs = ordered.groupby(ordered.diff().ne(1).cumsum()).agg(["min", "max"])
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in runs.itertuples(index=False))


def _name(cell) -> str:
    return f"{cell.task}/{cell.method}/n{cell.labels}/seed{cell.seed}"


def _truth(cell, part: str) -> str:
    """Where the true classes of a cell's images are: every cell has the same test images, but not validation images."""
    return f"{cell.task}/labels" if part == "test" else f"{cell.task}/n{cell.labels}/seed{cell.seed}/labels"


def read_csv(
    path: Path, columns: Sequence[str], numbers: Sequence[str], remedy: str, types: dict[Hashable, type] | None = None
) -> pd.DataFrame:
    """A table that a step of the graph wrote: with at least `columns`, of which `numbers` hold nothing else.

    Raises LautumError, with `remedy` as the advice, when it is missing or something else.
    """
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise LautumError(f"{path} does not exist; {remedy}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise LautumError(f"{path} is not what was written there ({error}); {remedy}") from None
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise LautumError(f"{path} has no column {', '.join(lacking)}; {remedy}")
    for column in numbers:
        wrong = pd.to_numeric(table[column], errors="coerce").isna()
        if wrong.any():
            line = int(wrong.to_numpy().argmax()) + 2
            raise LautumError(f"{path}, line {line}: no number in column {column}; {remedy}")
    return table


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


def _sharing(task: str, methods: str, labels: str, seed: int) -> list[Cell]:
    """The cells that a curve stands for, from its row in curves.csv."""
    return [Cell(task, method, int(count), seed) for method in methods.split("+") for count in labels.split("+")]


def _cells(runs: pd.DataFrame) -> list[Cell]:
    return [Cell(*axes) for axes in runs[["task", "method", "labels", "seed"]].itertuples(index=False, name=None)]


def _with_same_settings(layout: Layout, cells: list[Cell]) -> list[Cell]:
    """Those of `cells` that the files written by `collect` have, made with the configuration's settings."""
    path = layout.report / "records.csv"
    runs = read_csv(path, run_record.COLUMNS, ["labels", "seed"], "collect without --keep", {"settings": str})
    made_with = dict(zip(_cells(runs), runs["settings"], strict=True))
    return [cell for cell in cells if made_with.get(cell) == layout.settings_key(cell.task, cell.method, cell.labels)]


def _examples(layout: Layout) -> dict[str, np.ndarray]:
    """The first labelled images of each class, at the smallest label count and first seed of each task."""
    arrays = {}
    for task in layout.config.grid.tasks:
        definition = layout.config.tasks[task]
        split = layout.split(task, min(definition.label_counts), layout.config.seeds(task)[0])
        prepared = layout.prepared(definition.target, "train")
        if not (split.exists() and prepared.exists()):  # nothing of this task has run yet
            continue
        drawn, target = splits.read(split), datasets.load(prepared)
        labelled = drawn.split().labelled
        classes = splits.class_numbers(target.class_names, drawn.classes, drawn.target)
        chosen = [labelled[target.labels[labelled] == number][:EXAMPLES_PER_CLASS] for number in classes]
        arrays[f"{task}/images"] = target.images[np.concatenate(chosen)]
        arrays[f"{task}/labels"] = np.repeat(np.arange(len(classes)), [len(some) for some in chosen]).astype(np.uint8)
    return arrays
