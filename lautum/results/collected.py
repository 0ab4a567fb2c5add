"""What `lautum collect` wrote for a campaign, read back as data frames: `load`, the one door for tables, figures, the
page, comparisons, and whoever analyses results with tools of their own.

    import lautum

    results = lautum.load("reports/published")
    results.runs.groupby(["task", "labels", "method"])["accuracy"].mean()

docs/results.md describes every column.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from lautum.errors import Damaged, LautumError, nearest
from lautum.experiment.layout import Cell, key_of
from lautum.files import read_arrays, read_bytes, sha256_of_arrays
from lautum.pipeline import run_record
from lautum.results import sums
from lautum.results.csv_files import read_csv

# What runs must have in common to be compared, and for which of them.
IN_COMMON = {
    "source_train_sha256": ["task"],
    "target_train_sha256": ["task"],
    "target_eval_sha256": ["task"],
    "split_sha256": ["task", "labels", "seed"],
    "device": ["task", "labels", "seed"],
}
# In a campaign's folder.
FILES = ("records.csv", "predictions.safetensors.gz", "curves.csv.gz", "examples.safetensors", "settings.json")
NUMBERS = (
    "labels seed accuracy n_images correct pretrain_seconds transfer_seconds evaluate_seconds peak_memory_mb "
    "pretrain_images_per_second transfer_images_per_second threads"
).split()
RUN = ["task", "method", "labels", "seed"]
CURVE_AXES = ["task", "stage", "methods", "labels", "seed", "step"]
REMEDY = "run `lautum collect`"
CLASSES = TypeAdapter(dict[str, list[str]])  # names, of each task


@dataclass(frozen=True)
class Results:
    """The finished runs of a campaign."""

    runs: pd.DataFrame  # one row for each cell, with run_record.COLUMNS
    # "task/method/n50/seed0": predicted classes, uint8 (N,); "task/labels": the true ones, of validation images
    # "task/n50/seed0/labels"
    arrays: dict[str, np.ndarray]
    classes: dict[str, list[str]]  # of each task, in the order of its class numbers
    curves: pd.DataFrame  # CURVE_AXES and a column for each logged quantity, NaN where a stage does not log it
    examples: dict[str, np.ndarray]  # "task/images" uint8 (n, C, H, W), "task/labels" uint8 (n,)
    axes: dict[str, dict] = field(default_factory=dict)  # what `Layout.settings_key` hashed, by the hash

    def predicted(self, cell) -> np.ndarray:
        """The class that a cell (a row of `runs`) predicted for each image it was evaluated on, uint8 (N,)."""
        return self.arrays[cell_name(cell)]

    def truth(self, cell) -> np.ndarray:
        """The true class of each of these images, uint8 (N,)."""
        return self.arrays[truth_name(cell, cell.part)]

    def correct(self, cells: pd.DataFrame) -> np.ndarray:
        """Which images each of `cells` (rows of one task's runs) predicted correctly, bool (cells, N)."""
        return np.stack([self.predicted(cell) == self.truth(cell) for cell in cells.itertuples()])

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Every two runs of one task, label count and seed, which differ in the method alone; each pair both ways.

        Columns: task, labels, method, baseline, seed, difference (accuracy of method minus that of baseline).
        """
        runs = self.runs[[*RUN, "accuracy"]]
        pairs = runs.merge(runs, on=["task", "labels", "seed"], suffixes=("", "_baseline"))
        pairs = pairs.query("method != method_baseline").rename(columns={"method_baseline": "baseline"})
        pairs["difference"] = pairs["accuracy"] - pairs["accuracy_baseline"]
        columns = ["task", "labels", "method", "baseline", "seed", "difference"]
        return pairs.reset_index(drop=True).reindex(columns=columns)

    @cached_property
    def settings(self) -> pd.DataFrame:
        """One row for each setting of each cell.

        Columns: task, method, labels, settings (as in `runs`: a cell has several where it was run with several), name
        (as in a configuration), value (JSON).
        """
        rows = [
            (*cell, name, json.dumps(value))
            for cell in dict.fromkeys(self.runs[[*RUN[:-1], "settings"]].itertuples(index=False, name=None))
            if cell[-1] in self.axes
            for name, value in flat(self.axes[cell[-1]]).items()
        ]
        return pd.DataFrame(rows, columns=[*RUN[:-1], "settings", "name", "value"])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row for each evaluated image of each run.

        Columns: task, method, labels, seed, image (its number among the task's evaluated images), truth and predicted
        (class numbers: `classes` has the names), correct.
        """
        tables = [
            pd.DataFrame({"truth": self.truth(run), "predicted": self.predicted(run)}).rename_axis("image")
            for run in self.runs.itertuples()
        ]
        axes = [tuple(run) for run in self.runs[RUN].itertuples(index=False)]
        table = pd.concat(tables, keys=axes, names=RUN).reset_index()
        # A text in each of a million rows would take a hundred times their space.
        table = table.astype({"task": "category", "method": "category"})
        return table.assign(correct=table["truth"] == table["predicted"])


def load(folder: Path | str, cells: Iterable[Cell] | None = None, remedy: str = REMEDY) -> Results:
    """The results that `lautum collect` left in a campaign's `folder`, e.g. reports/published; needs no configuration.

    With `cells`, only what belongs to these. Raises LautumError when there are no results, a file is not what `collect`
    writes, or accuracies and predictions disagree, with `remedy` as the advice.
    """
    folder = Path(folder)
    if (folder / "universes.csv").exists():
        raise LautumError(f"{folder} is a campaign over universes: its runs are in universes.csv, see docs/results.md")
    runs = read_runs(folder, remedy)
    curves = read_csv(folder / "curves.csv.gz", CURVE_AXES, ["seed", "step"], remedy, ["labels"])
    if cells is not None:
        named = set(cells)
        runs = runs.loc[[cell in named for cell in cells_of(runs)]].reset_index(drop=True)
        axes = list(zip(curves["task"], curves["methods"], curves["labels"], curves["seed"], strict=True))
        shown = {curve for curve in set(axes) if named.intersection(sharing_cells(*curve))}
        curves = curves.loc[[curve in shown for curve in axes]]
    path = folder / "predictions.safetensors.gz"
    for name in FILES:
        sums.require_unaltered(folder / name, remedy)
    try:
        arrays, metadata = read_arrays(path, remedy, sealed=False)
        examples, _ = read_arrays(folder / "examples.safetensors", remedy, sealed=False)
    except Damaged as error:
        raise LautumError(str(error)) from error  # not a result: it stays where it is
    try:
        classes = CLASSES.validate_python(metadata, strict=True)
    except ValidationError:
        raise LautumError(f"{path} is not what `lautum collect` writes; {remedy}") from None
    for run in runs.itertuples():
        _require_predictions(path, arrays, run, remedy)
    return Results(runs, arrays, classes, curves, examples, _axes(folder / "settings.json", remedy))


def _axes(path: Path, remedy: str) -> dict[str, dict]:
    """The settings by their hash; none where they were collected before settings were."""
    if not path.exists():
        return {}
    try:
        axes = json.loads(read_bytes(path, remedy))
        whole = all(key_of(some) == key for key, some in axes.items())
    except (ValueError, AttributeError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise LautumError(f"{path} is not what `lautum collect` writes; {remedy}")
    return axes


def flat(axes: dict) -> dict[str, object]:
    """Settings as one mapping of names as in a configuration (`transfer.steps`) to values."""
    split, pretrain = axes.get("split", {}), axes.get("pretrain", {})
    pretrain = {name: value for name, value in pretrain.items() if name != "split"}
    transfer = {name: value for name, value in axes.items() if name not in ("split", "pretrain")}
    found = {name: value for name, value in split.items() if name != "labels"}
    for stage, some in (("pretrain", pretrain), ("transfer", transfer)):
        own = {"objective": some.pop("objective", None)} | some.pop("settings", {})
        found |= some | {f"{stage}.{name}": value for name, value in own.items()}
    return found


def _require_predictions(path: Path, arrays: dict[str, np.ndarray], run, remedy: str) -> None:
    predicted, labels = arrays.get(cell_name(run)), arrays.get(truth_name(run, run.part))
    if predicted is None or labels is None or not predicted.shape == labels.shape == (run.n_images,):
        raise LautumError(f"{path} lacks the {run.n_images} predictions of {cell_name(run)}; {remedy}")
    intact = sha256_of_arrays(predicted) == run.predictions_sha256 and (predicted == labels).sum() == run.correct
    if not intact or abs(run.accuracy - run.correct / len(labels)) > 1e-9:
        raise LautumError(f"{path}: the predictions of {cell_name(run)} are not those of its record; {remedy}")


def read_runs(folder: Path, remedy: str = REMEDY) -> pd.DataFrame:
    """The runs alone, which is quick. Raises LautumError when there are none, with `remedy` as the advice."""
    if not folder.exists() and (others := [path.parent.name for path in folder.parent.glob("*/records.csv")]):
        raise LautumError(f"{folder} does not exist{nearest(folder.name, sorted(others))}")
    return read_csv(folder / "records.csv", run_record.COLUMNS, NUMBERS, remedy)


def require_comparable(runs: pd.DataFrame, remedy: str) -> None:
    """Refuse rows of COLUMNS that do not have IN_COMMON, with a LautumError that ends in `remedy`."""
    for column, axes in IN_COMMON.items():
        differ = runs.groupby(axes)[column].transform("nunique") > 1
        if differ.any():
            where = ", ".join(f"{axis} {value}" for axis, value in runs.loc[differ, axes].iloc[0].items())
            raise LautumError(f"records of {where} differ in {column}, so they cannot be compared; {remedy}")


def summary(folder: Path) -> dict:
    """What a campaign's records hold, in words: one row of the report's list of campaigns."""
    universes = folder / "universes.csv"
    if universes.exists():  # which are always of the test images
        runs = read_csv(universes, ["task", "arm", "seed", "commit"], ["seed"], REMEDY)
        runs = runs.rename(columns={"arm": "method"}).assign(part="test")
    elif (folder / "records.csv").exists():
        runs = read_runs(folder)
    else:
        return {
            "Campaign": folder.name,
            "Part": "not run",
            "Tasks": "",
            "Methods": 0,
            "Seeds": "",
            "Runs": 0,
            "Code": "",
        }
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


def in_words(cells: Sequence[Cell]) -> list[str]:
    """A line for each task, method and label count, with the seeds."""
    seeds: dict[tuple, list[int]] = {}
    for cell in cells:
        seeds.setdefault((cell.task, cell.method, cell.labels), []).append(cell.seed)
    return [
        f"{task} {method}, {labels} labels, seed{'s' if len(some) > 1 else ''} {ranges(pd.Series(some))}"
        for (task, method, labels), some in seeds.items()
    ]


def cell_name(cell) -> str:
    """Under which a cell's predictions are kept."""
    return f"{cell.task}/{cell.method}/n{cell.labels}/seed{cell.seed}"


def truth_name(cell, part: str) -> str:
    """Where the true classes of a cell's images are: every cell has the same test images, but not validation images."""
    return f"{cell.task}/labels" if part == "test" else f"{cell.task}/n{cell.labels}/seed{cell.seed}/labels"


def sharing_cells(task: str, methods: str, labels: str, seed: int) -> list[Cell]:
    """The cells that a curve stands for, from its row in curves.csv.gz."""
    return [Cell(task, method, int(count), seed) for method in methods.split("+") for count in labels.split("+")]


def cells_of(runs: pd.DataFrame) -> list[Cell]:
    """The cells that rows are of."""
    return [Cell(*axes) for axes in runs[RUN].itertuples(index=False, name=None)]
