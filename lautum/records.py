"""Finished cells gathered into two small files, from which every table and figure can be rendered again without
training.

reports/<name>/records.csv             one row for each cell
reports/<name>/predictions.safetensors the predicted class of every evaluated image, one uint8 vector for each cell
"""

from pathlib import Path

import pandas as pd

from lautum.cells import Cell, Layout
from lautum.errors import LautumError
from lautum.files import read_arrays, read_json, sha256_of_arrays, write_arrays, write_text

COLUMNS = (
    "task source target method pretrain_objective transfer_objective labels seed key part accuracy n_images correct "
    "pretrain_seconds transfer_seconds evaluate_seconds peak_memory_mb "
    "pretrain_images_per_second transfer_images_per_second "
    "device cpu threads torch commit "
    "split_sha256 source_train_sha256 target_train_sha256 target_eval_sha256 predictions_sha256"
).split()


def collect(layout: Layout) -> tuple[Path, list[Cell]]:
    """Write records.csv and predictions.safetensors of all finished cells; also return the cells that are missing.

    Raises LautumError for a record that is cut off, belongs to other settings, or disagrees with its predictions.
    """
    rows, arrays, missing = [], {}, []
    for cell in layout.cells():
        path = layout.record(cell)
        if not path.exists():
            missing.append(cell)
            continue
        record = read_json(path)
        predictions, labels = _predictions(path, record)
        if record.get("key") != layout.transfer_key(cell.task, cell.method, cell.labels):
            raise LautumError(f"{path} was made with other settings; delete it and run again")
        rows.append(_row(record))
        arrays[f"{cell.task}/{cell.method}/n{cell.labels}/seed{cell.seed}"] = predictions
        arrays[f"{cell.task}/labels"] = labels
    table = pd.DataFrame(rows, columns=COLUMNS)
    path = layout.report / "records.csv"
    write_arrays(path.with_name("predictions.safetensors"), arrays, {})
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path, missing


def read(path: Path) -> pd.DataFrame:
    """The table that `collect` wrote.

    Raises LautumError when it is missing or not such a table.
    """
    try:
        table = pd.read_csv(path, dtype={"key": str, "commit": str})
    except FileNotFoundError:
        raise LautumError(f"{path} does not exist; run `lautum collect` first") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise LautumError(f"{path} is not a table of records ({error}); run `lautum collect` again") from None
    lacking = [column for column in COLUMNS if column not in table.columns]
    if lacking:
        raise LautumError(f"{path} has no column {', '.join(lacking)}; run `lautum collect` again")
    return table


def _predictions(path: Path, record: dict):
    arrays, _ = read_arrays(path.with_suffix(".safetensors"))
    predictions, labels = arrays["predictions"], arrays["labels"]
    if sha256_of_arrays(predictions) != record.get("predictions_sha256") or len(predictions) != record.get("n_images"):
        raise LautumError(
            f"{path.with_suffix('.safetensors')} is not the predictions of {path.name}; delete both and run again"
        )
    return predictions, labels


def _row(record: dict) -> dict:
    stages = {stage: record[stage] for stage in ("pretrain", "transfer", "evaluate")}
    derived = {f"{stage}_{key}": value for stage, values in stages.items() for key, value in values.items()}
    derived["peak_memory_mb"] = max(values["peak_memory_mb"] for values in stages.values())
    return {column: (record | record["environment"] | derived)[column] for column in COLUMNS}
