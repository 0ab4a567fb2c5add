"""The record of one run as `evaluate` leaves it, read back and checked."""

from pathlib import Path

import numpy as np
import pandas as pd

from lautum.errors import Damaged, LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.files import read_arrays, read_json, sha256_of_arrays

COLUMNS = (
    "task source target method pretrain_objective transfer_objective labels seed key settings part accuracy n_images "
    "correct pretrain_seconds transfer_seconds evaluate_seconds peak_memory_mb "
    "pretrain_images_per_second transfer_images_per_second "
    "device cpu threads python torch commit "
    "split_sha256 source_train_sha256 target_train_sha256 target_eval_sha256 predictions_sha256"
).split()
# What runs must have in common to be compared, and for which of them.
IN_COMMON = {
    "source_train_sha256": ["task"],
    "target_train_sha256": ["task"],
    "target_eval_sha256": ["task"],
    "split_sha256": ["task", "labels", "seed"],
    "device": ["task", "labels", "seed"],
}


def read(layout: Layout, cell: Cell) -> tuple[dict, np.ndarray, np.ndarray, list[str]]:
    """A finished cell's record, predictions (N,), labels (N,) and class names.

    Raises Damaged for a record that is cut off, belongs to something else, or disagrees with its predictions.
    """
    path = layout.record(cell)
    record = read_json(path)
    _require_record(path, record, cell, layout)
    return record, *_predictions(path, record)


def row(record: dict) -> dict:
    """The values of COLUMNS: a record without its curves."""
    stages = {stage: record[stage] for stage in ("pretrain", "transfer", "evaluate")}
    derived = {f"{stage}_{key}": value for stage, values in stages.items() for key, value in values.items()}
    derived["peak_memory_mb"] = max(values["peak_memory_mb"] for values in stages.values())
    return {column: (record | record["environment"] | derived)[column] for column in COLUMNS}


def require_comparable(runs: pd.DataFrame, remedy: str) -> None:
    """Refuse rows of COLUMNS that do not have IN_COMMON, with a LautumError that ends in `remedy`."""
    for column, axes in IN_COMMON.items():
        differ = runs.groupby(axes)[column].transform("nunique") > 1
        if differ.any():
            where = ", ".join(f"{axis} {value}" for axis, value in runs.loc[differ, axes].iloc[0].items())
            raise LautumError(f"records of {where} differ in {column}, so they cannot be compared; {remedy}")


def _require_record(path: Path, record, cell: Cell, layout: Layout) -> None:
    """Refuse what is no record, or that of another cell or other settings."""
    try:
        whole = row(record) is not None and all(
            record[stage]["curve"] or record[stage].get("steps") == 0 for stage in ("pretrain", "transfer")
        )
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise Damaged(path, f"{path} is not an evaluation record; run again")
    for name, value in vars(cell).items():
        if record.get(name) != value:
            raise Damaged(
                path,
                f"{path} is the record of another run: {name} is {record.get(name)!r}, expected {value!r}; run again",
            )
    if record.get("key") != layout.transfer_key(cell.task, cell.method, cell.labels):
        raise Damaged(path, f"{path} was made with other settings; run again")


def _predictions(path: Path, record: dict) -> tuple[np.ndarray, np.ndarray, list[str]]:
    file = path.with_suffix(".safetensors")
    if not file.exists():
        raise Damaged(path, f"{path} has lost its predictions {file.name}; run again")
    arrays, metadata = read_arrays(file)
    predictions, labels = arrays.get("predictions", np.empty(0)), arrays.get("labels", np.empty(0))
    if (
        sha256_of_arrays(predictions) != record["predictions_sha256"]
        or not len(predictions) == len(labels) == record.get("n_images")
        or (predictions == labels).sum() != record.get("correct")
        or record.get("accuracy") != record["correct"] / len(labels)
    ):
        raise Damaged(path, f"{file} is not the predictions of {path.name}; run again")
    return predictions, labels, metadata.get("classes", "").split(",")
