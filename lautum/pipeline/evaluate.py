"""Measuring accuracy: the only code that opens a test set."""

import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lautum import schema
from lautum.data import splits
from lautum.data.transforms import InputTransform
from lautum.errors import Damaged, LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.files import sha256_of_arrays, write_arrays
from lautum.pipeline import loading, run_record
from lautum.pipeline.environment import describe, peak_memory_mb
from lautum.pipeline.locks import lock
from lautum.pipeline.run_record import EvaluationCost, Predictions, RunRecord, Snapshot, read_cost
from lautum.training import checkpoint, network_file
from lautum.training.device import select_device
from lautum.training.networks import Network, sha256_of_weights


def evaluate(layout: Layout, cell: Cell) -> Path:
    """Predict every test image (while selecting, every validation image); write predictions and record.

    A record that is there already, whole and of the same network and images, is left alone. Returns the path of the
    record, beside which lie the predictions. Raises LautumError when a file is missing, Damaged when one is not whole,
    Interrupted when the process is asked to stop while another one evaluates the cell.
    """
    with lock(layout.checkpoint(layout.record(cell)).with_suffix(".lock")):  # a cell can be in two batches
        return _evaluate(layout, cell)


def _evaluate(layout: Layout, cell: Cell) -> Path:
    config, definition = layout.config, layout.config.tasks[cell.task]
    device = select_device(config.device, config.threads)
    environment = describe(device, config.threads)
    pretrained = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    transferred = layout.transferred(cell)
    if config.evaluate.part == "test":
        images = loading.prepared(layout, definition.target, "test")
        classes = splits.class_numbers(images.class_names, definition.classes, definition.target)
        chosen = np.flatnonzero(np.isin(images.labels, classes))
        if not len(chosen):
            raise LautumError(f"task {cell.task}: the test part of {definition.target} has no image of its classes")
    else:
        images, drawn, classes = loading.target(layout, cell.task, cell.labels, cell.seed)
        chosen = drawn.validation
    key, pretrain_key = (
        stage(cell.task, cell.method, cell.labels) for stage in (layout.transfer_key, layout.pretrain_key)
    )
    expected = {"key": key, "seed": cell.seed, "image_shape": list(images.images.shape[1:])}
    network, transform, origin = network_file.load(
        transferred,
        expected,
        config.network(cell.task, cell.method),
        definition.precision,
        definition.augmentation,
        device,
        config.catalogue.networks,
    )
    path, network_sha256 = layout.record(cell), sha256_of_weights(network)
    if _is_finished(layout, cell, network_sha256, images.sha256):
        _remove(layout.snapshots(cell))
        return path
    earlier = _snapshots(layout, cell)
    labels = splits.task_labels(images.labels[chosen], classes)
    began = time.perf_counter()
    inputs = torch.from_numpy(images.images[chosen]).to(device)
    arrays = {"predictions": predict(network, transform, inputs), "labels": labels.astype(np.uint8)}
    for steps, weights in earlier.items():
        network.load_state_dict(weights)
        arrays[f"step{steps}"] = predict(network, transform, inputs)
    seconds = time.perf_counter() - began
    correct = {name: int((predicted == labels).sum()) for name, predicted in arrays.items()}
    shown = Predictions(classes=[images.class_names[number] for number in classes])
    write_arrays(path.with_suffix(".safetensors"), arrays, shown.model_dump())
    record = RunRecord(
        task=cell.task,
        source=definition.source,
        target=definition.target,
        method=cell.method,
        pretrain_objective=config.methods[cell.method].pretrain,
        transfer_objective=config.methods[cell.method].transfer,
        labels=cell.labels,
        seed=cell.seed,
        key=layout.record_key(cell.task, cell.method, cell.labels),
        settings=layout.settings_key(cell.task, cell.method, cell.labels),
        part=config.evaluate.part,
        accuracy=correct["predictions"] / len(labels),
        n_images=len(labels),
        correct=correct["predictions"],
        network_sha256=network_sha256,
        predictions_sha256=sha256_of_arrays(arrays["predictions"]),
        snapshots=[
            Snapshot(
                steps=int(steps),
                correct=correct[f"step{steps}"],
                predictions_sha256=sha256_of_arrays(arrays[f"step{steps}"]),
            )
            for steps in earlier
        ],
        split_sha256=origin["split_sha256"],
        source_train_sha256=origin["source_train_sha256"],
        target_train_sha256=origin["target_train_sha256"],
        target_eval_sha256=images.sha256,
        pretrain=read_cost(pretrained, pretrain_key, cell.seed),
        transfer=read_cost(transferred, key, cell.seed),
        evaluate=EvaluationCost(seconds=seconds, peak_memory_mb=peak_memory_mb(device)),
        environment=environment,
    )
    schema.write(path, record)
    _remove(layout.snapshots(cell))
    return path


def _remove(path: Path) -> None:
    """What nobody needs any more; something else in its place does no harm."""
    with suppress(OSError):
        path.unlink()


def _snapshots(layout: Layout, cell: Cell) -> dict[str, dict[str, Tensor]]:
    """The weights after fewer steps, steps -> name -> weight, in the order of the steps.

    They are there until they have been evaluated. Raises Damaged, to have the record made anew, when it is not whole
    and they are gone; else as `checkpoint.load`.
    """
    wanted = getattr(layout.config.transfer_settings(cell.task, cell.method), "snapshots", ())
    if not wanted:
        return {}
    path, record = layout.snapshots(cell), layout.record(cell)
    if record.exists() and not path.exists():
        raise Damaged(record, f"{record} is not of {layout.transferred(cell)}; run again")
    states, origin = checkpoint.load(path, remedy="run the post-transfer stage again")
    key = layout.transfer_key(cell.task, cell.method, cell.labels)
    schema.require_expected(path, origin, {"key": key, "seed": cell.seed})
    if states.keys() != {str(steps) for steps in wanted}:
        raise Damaged(path, f"{path} has not the weights after {', '.join(map(str, wanted))} steps; run again")
    return dict(sorted(states.items(), key=lambda item: int(item[0])))


def _is_finished(layout: Layout, cell: Cell, network_sha256: str, images_sha256: str) -> bool:
    """Whether there is a whole record of this network's predictions of these images."""
    try:
        record, *_ = run_record.read(layout, cell)
    except LautumError:
        return False
    return (record.network_sha256, record.target_eval_sha256) == (network_sha256, images_sha256)


@torch.inference_mode()
def predict(network: Network, transform: InputTransform, images: Tensor, batch_size: int = 250) -> np.ndarray:
    """Predicted classes, uint8 (N,), of uint8 images (N, C, H, W)."""
    network.eval()
    classes = torch.cat([network(transform(batch)).argmax(dim=1) for batch in images.split(batch_size)])
    return classes.cpu().numpy().astype(np.uint8)
