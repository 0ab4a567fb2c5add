"""The record of one run: its schema, as `evaluate` writes it, and how it is read back and checked."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError, model_validator

from lautum import schema
from lautum.errors import Damaged, LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.files import read_arrays, sha256_of_arrays
from lautum.schema import Strict, first_complaint


class StageCost(Strict):
    """What a training stage took, and its training curve; written beside the network that it ends with."""

    key: str  # of the stage, and
    seed: NonNegativeInt  # as in the path
    seconds: NonNegativeFloat  # wall time in the loop, over all attempts
    images_per_second: NonNegativeFloat
    resumed_at: list[NonNegativeInt]  # steps at which earlier attempts were resumed
    steps: NonNegativeInt
    peak_memory_mb: NonNegativeFloat  # MiB, of the process up to then, or of the GPU's allocator
    device: str
    accuracy: float = Field(ge=0, le=1)  # at the end, on the stage's first labelled images (`train.outputs`)
    logit_scale: NonNegativeFloat  # likewise, of their logits
    curve: dict[str, list[int | float]]  # one value per logged step

    @model_validator(mode="after")
    def _has_a_curve(self):
        if self.steps and not self.curve:
            raise ValueError(f"a stage of {self.steps} steps must have a training curve")
        if len({len(values) for values in self.curve.values()}) > 1:
            raise ValueError("the quantities of a training curve must have as many values each")
        if self.curve and any(type(step) is not int for step in self.curve.get("step", [None])):
            raise ValueError("a training curve must have the whole numbers of its steps")
        return self


class Snapshot(Strict):
    """What the network predicted after fewer post-transfer steps, at the same rate."""

    steps: PositiveInt
    correct: NonNegativeInt
    predictions_sha256: str


class Predictions(Strict):
    """What the file of predictions says beside "predictions" and "labels", uint8 (N,) of the task's class numbers."""

    classes: list[str]


class EvaluationCost(Strict):
    """What predicting the evaluated images took."""

    seconds: NonNegativeFloat
    peak_memory_mb: NonNegativeFloat


class Environment(Strict):
    """Where and with what a run was evaluated."""

    device: str  # "cpu", or the GPU's name
    cpu: str
    cores: PositiveInt
    threads: PositiveInt
    python: str
    torch: str
    lautum: str
    commit: str


class RunRecord(Strict):
    """One run of one method: what it was, what came out, what it took, and what it was made from."""

    task: str
    source: str
    target: str
    method: str
    pretrain_objective: str
    transfer_objective: str
    labels: PositiveInt
    seed: NonNegativeInt
    key: str  # of settings and code
    settings: str  # key of the settings alone
    part: Literal["test", "validation"]
    accuracy: float = Field(ge=0, le=1)
    n_images: PositiveInt
    correct: NonNegativeInt
    network_sha256: str  # of the weights that predicted
    predictions_sha256: str
    snapshots: list[Snapshot] = []
    split_sha256: str
    source_train_sha256: str
    target_train_sha256: str
    target_eval_sha256: str
    pretrain: StageCost
    transfer: StageCost
    evaluate: EvaluationCost
    environment: Environment

    def row(self) -> dict:
        """The values of COLUMNS: the record without its curves."""
        values = dict(self) | dict(self.environment)
        for stage in ("pretrain", "transfer", "evaluate"):
            values |= {f"{stage}_{name}": value for name, value in getattr(self, stage)}
        values["peak_memory_mb"] = max(stage.peak_memory_mb for stage in (self.pretrain, self.transfer, self.evaluate))
        return {column: values[column] for column in COLUMNS}


# Of records.csv.
COLUMNS = (
    "task source target method pretrain_objective transfer_objective labels seed key settings part accuracy n_images "
    "correct pretrain_seconds transfer_seconds evaluate_seconds peak_memory_mb "
    "pretrain_images_per_second transfer_images_per_second "
    "device cpu threads python torch commit "
    "split_sha256 source_train_sha256 target_train_sha256 target_eval_sha256 predictions_sha256"
).split()


def read_cost(network: Path, key: str, seed: int) -> StageCost:
    """What lies beside a network: the cost of the stage of this key and seed. Raises as `lautum.schema.read`."""
    path = network.with_suffix(".json")
    cost = schema.read(path, StageCost, "the cost of a stage")
    schema.require_expected(path, cost, {"key": key, "seed": seed})
    return cost


def read(layout: Layout, cell: Cell) -> tuple[RunRecord, np.ndarray, np.ndarray, list[str]]:
    """A finished cell's record, predictions (N,), labels (N,) and class names.

    Raises Damaged for a record that is cut off or altered, belongs to something else, or disagrees with its
    predictions.
    """
    path = layout.record(cell)
    record = schema.read(path, RunRecord, "an evaluation record")
    expected = vars(cell) | {
        "part": layout.config.evaluate.part,
        "key": layout.record_key(cell.task, cell.method, cell.labels),
        "settings": layout.settings_key(cell.task, cell.method, cell.labels),
    }
    schema.require_expected(path, record, expected)
    wanted = getattr(layout.config.transfer_settings(cell.task, cell.method), "snapshots", ())
    if tuple(snapshot.steps for snapshot in record.snapshots) != tuple(wanted):
        raise Damaged(
            path, f"{path} has not what the network predicted after {', '.join(map(str, wanted))} steps; run again"
        )
    return record, *_predictions(path, record)


def _predictions(path: Path, record: RunRecord) -> tuple[np.ndarray, np.ndarray, list[str]]:
    file = path.with_suffix(".safetensors")
    try:
        arrays, metadata = read_arrays(file)
        found = Predictions.model_validate(metadata, strict=True)
    except LautumError as error:
        raise Damaged(path, str(error)) from error  # the record goes with its predictions
    except ValidationError as error:
        raise Damaged(path, f"{file} is no file of predictions ({first_complaint(error)}); run again") from error
    predictions, labels = arrays.get("predictions", np.empty(0)), arrays.get("labels", np.empty(0))
    if (
        sha256_of_arrays(predictions) != record.predictions_sha256
        or not predictions.shape == labels.shape == (record.n_images,)
        or not predictions.dtype == labels.dtype == np.uint8
        or (predictions == labels).sum() != record.correct
        or record.accuracy != record.correct / len(labels)
        or max(predictions.max(), labels.max()) >= len(found.classes)
    ):
        raise Damaged(path, f"{file} is not the predictions of {path.name}; run again")
    for snapshot in record.snapshots:
        earlier = arrays.get(f"step{snapshot.steps}", np.empty(0))
        if (
            sha256_of_arrays(earlier) != snapshot.predictions_sha256
            or earlier.shape != labels.shape
            or (earlier == labels).sum() != snapshot.correct
        ):
            raise Damaged(path, f"{file} lacks what {path.name} has after {snapshot.steps} steps; run again")
    return predictions, labels, found.classes
