"""The steps between prepared data and records: split, pretrain, transfer, evaluate. Each reads and writes files only.

Training steps are never given a test file; `evaluate` alone opens it.
"""

import json
import resource
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lautum import objectives
from lautum.data import datasets, splits
from lautum.data.transforms import InputTransform
from lautum.errors import Damaged, LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.files import read_json, sha256_of_arrays, write_arrays, write_json
from lautum.pipeline.environment import describe, select_device
from lautum.pipeline.locks import lock
from lautum.training import checkpoint, loop, networks


def split(layout: Layout, task: str, labels: int, seed: int) -> Path:
    """Draw the labelled subset of a task and write it, with its SHA-256, as JSON."""
    definition = layout.config.tasks[task]
    images = _prepared(layout, definition.target, "train")
    classes = splits.class_numbers(images.class_names, definition.classes, definition.target)
    evaluate = layout.config.evaluate
    drawn = splits.draw(
        images.labels, classes, labels, seed, definition.target, evaluate.validation_images, evaluate.validation_from
    )
    path = layout.split(task, labels, seed)
    write_json(
        path,
        {
            "target": definition.target,
            "target_train_sha256": images.sha256,
            "classes": [images.class_names[number] for number in classes],
            "seed": seed,
            "labelled": drawn.labelled.tolist(),
            "unlabelled": drawn.unlabelled.tolist(),
            "validation": drawn.validation.tolist(),
            "sha256": drawn.sha256,
        },
    )
    return path


def pretrain(layout: Layout, task: str, method: str, labels: int, seed: int) -> Path:
    """Pre-transfer stage: a fresh network on the labelled source and, for some objectives, the unlabelled target."""
    definition, settings = layout.config.tasks[task], layout.config.pretrain_settings(task, method)
    device = select_device(layout.config)
    source = _prepared(layout, definition.source, "train")
    images = torch.from_numpy(source.images).to(device)
    transform = InputTransform.for_source(images, definition.augmentation)
    labelled = training.Labelled(images, torch.from_numpy(source.labels).to(device))
    origin = {"source_train_sha256": source.sha256}
    unlabelled = None
    if settings.needs_target:
        target, drawn, _ = _target(layout, task, labels, seed)
        unlabelled = torch.from_numpy(target.images[drawn.unlabelled]).to(device)
        _require_same_shape(definition, source, target)
        origin |= {"target_train_sha256": target.sha256, "split_sha256": drawn.sha256}
    network = networks.build(
        definition.network, source.images.shape[1:], len(source.class_names), seed, definition.precision
    )
    network.to(device, memory_format=torch.channels_last)
    objective = layout.config.methods[method].pretrain
    return _train(
        layout,
        layout.pretrained(task, method, labels, seed),
        f"{task} {objective} {layout.pretrained_scope(method, labels)} seed {seed}",
        network,
        objective,
        training.StageData(transform, labelled, unlabelled),
        settings,
        seed,
        origin | {"key": layout.pretrain_key(task, method, labels), "image_shape": source.images.shape[1:]},
    )


def transfer(layout: Layout, cell: Cell) -> Path:
    """Post-transfer stage: the pretrained network on the labelled target images and, for TE, the unlabelled ones."""
    settings = layout.config.transfer_settings(cell.task, cell.method)
    device = select_device(layout.config)
    pretrained = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    network, transform, origin = _load_network(layout, pretrained, cell.task, device)
    target, drawn, classes = _target(layout, cell.task, cell.labels, cell.seed)
    if origin.get("target_train_sha256", target.sha256) != target.sha256:
        raise Damaged(pretrained, f"{pretrained} was trained with another version of {target.dataset}; run again")
    if settings.head == "reinitialise":
        networks.reinitialise_head(network, len(classes), cell.seed)
    elif network.head.out_features != len(classes):
        raise LautumError(
            f"{cell.task}: the pretrained head has {network.head.out_features} classes, the target {len(classes)}; "
            "set `head: reinitialise` in the task's transfer settings"
        )
    # Every method gets the labels of the labelled part only; all of them are for the upper bound.
    shown = np.concatenate([drawn.labelled, drawn.unlabelled]) if settings.all_labels else drawn.labelled
    labels = torch.from_numpy(_task_labels(target.labels[shown], classes))
    data = training.StageData(
        transform,
        training.Labelled(torch.from_numpy(target.images[shown]).to(device), labels.to(device)),
        torch.from_numpy(target.images[drawn.unlabelled]).to(device),
    )
    origin |= {"target_train_sha256": target.sha256, "split_sha256": drawn.sha256}
    return _train(
        layout,
        layout.transferred(cell),
        f"{cell.task} {cell.method} n{cell.labels} seed {cell.seed}",
        network,
        layout.config.methods[cell.method].transfer,
        data,
        settings,
        cell.seed,
        origin | {"key": layout.transfer_key(cell.task, cell.method, cell.labels)},
    )


def evaluate(layout: Layout, cell: Cell) -> Path:
    """Predict every test image (while selecting, every validation image); write predictions and record."""
    began = time.perf_counter()
    config, definition = layout.config, layout.config.tasks[cell.task]
    device = select_device(config)
    transferred = layout.transferred(cell)
    network, transform, origin = _load_network(layout, transferred, cell.task, device)
    if config.evaluate.part == "test":
        images = _prepared(layout, definition.target, "test")
        classes = splits.class_numbers(images.class_names, definition.classes, definition.target)
        chosen = np.flatnonzero(np.isin(images.labels, classes))
    else:
        images, drawn, classes = _target(layout, cell.task, cell.labels, cell.seed)
        chosen = drawn.validation
    labels = _task_labels(images.labels[chosen], classes)
    predictions = predict(network, transform, torch.from_numpy(images.images[chosen]).to(device)).cpu().numpy()
    correct = int((predictions == labels).sum())
    path = layout.record(cell)
    arrays = {"predictions": predictions.astype(np.uint8), "labels": labels.astype(np.uint8)}
    write_arrays(
        path.with_suffix(".safetensors"), arrays, {"classes": ",".join(images.class_names[n] for n in classes)}
    )
    pretrained = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    write_json(
        path,
        {
            "task": cell.task,
            "source": definition.source,
            "target": definition.target,
            "method": cell.method,
            "pretrain_objective": config.methods[cell.method].pretrain,
            "transfer_objective": config.methods[cell.method].transfer,
            "labels": cell.labels,
            "seed": cell.seed,
            "key": layout.transfer_key(cell.task, cell.method, cell.labels),
            "settings": layout.settings_key(cell.task, cell.method, cell.labels),
            "part": config.evaluate.part,
            "accuracy": correct / len(labels),
            "n_images": len(labels),
            "correct": correct,
            "predictions_sha256": sha256_of_arrays(arrays["predictions"]),
            "split_sha256": origin["split_sha256"],
            "source_train_sha256": origin["source_train_sha256"],
            "target_train_sha256": origin["target_train_sha256"],
            "target_eval_sha256": images.sha256,
            "pretrain": read_json(pretrained.with_suffix(".json")),
            "transfer": read_json(transferred.with_suffix(".json")),
            "evaluate": {"seconds": time.perf_counter() - began, "peak_memory_mb": _peak_memory_mb(device)},
            "environment": describe(device, config.threads),
        },
    )
    return path


@torch.inference_mode()
def predict(network: nn.Module, transform: InputTransform, images: Tensor, batch_size: int = 250) -> Tensor:
    """Predicted classes, int64 (N,), of uint8 images (N, C, H, W)."""
    network.eval()
    return torch.cat([network(transform(batch)).argmax(dim=1) for batch in images.split(batch_size)])


def _train(layout, path, name, network, objective, data, settings, seed, origin) -> Path:
    """Run one stage to its end; write the network (reproducible bytes) and, beside it, its cost and curve (JSON)."""
    state = layout.checkpoint(path)
    with lock(state.with_suffix(".lock")) as waited:
        # A copy of this job, perhaps of a driver that was killed, may have finished it meanwhile.
        if not (waited and _is_finished(path)):
            _train_locked(layout, path, state, name, network, objective, data, settings, seed, origin)
    return path


def _is_finished(path: Path) -> bool:
    """Whether a stage's network and cost are both there and whole."""
    try:
        checkpoint.load(path)
        read_json(path.with_suffix(".json"))
    except LautumError:
        return False
    return True


def _train_locked(layout, path, state, name, network, objective, data, settings, seed, origin) -> None:
    device = data.labelled.labels.device
    try:
        built = objectives.build(objective, network, data, settings, seed)
        # Settings, data and the network that the stage starts from: a checkpoint of anything else is passed over.
        start = sha256_of_arrays(*(weight.cpu().numpy() for weight in network.state_dict().values()))
        identity = json.dumps([origin, seed, start], sort_keys=True)
        interval = layout.config.checkpoint_seconds
        run = training.train(network, built, settings.clip_norm, seed, state, identity, name, interval)
    except LautumError:
        raise
    except ValueError as error:  # a loss that cannot be computed with these settings, e.g. too few samples for the rank
        raise LautumError(f"{name}: {error}") from error
    tensors = {f"network/{key}": value for key, value in network.state_dict().items()}
    tensors |= {"transform/mean": data.transform.mean, "transform/std": data.transform.std}
    checkpoint.save(path, tensors, origin | {"seed": seed})
    cost = {
        "seconds": run.seconds,
        "images_per_second": run.images / run.seconds if run.images else 0.0,
        "resumed_at": run.resumed_at,
    }
    write_json(
        path.with_suffix(".json"),
        cost
        | {"steps": built.steps, "peak_memory_mb": _peak_memory_mb(device), "device": str(device), "curve": run.curve},
    )
    state.unlink(missing_ok=True)


def _load_network(layout: Layout, path: Path, task: str, device: torch.device):
    """Network, input transform and origin of a file that `_train` wrote."""
    tensors, origin = checkpoint.load(path, "run the stage that makes it")
    weights = {key.removeprefix("network/"): value for key, value in tensors.items() if key.startswith("network/")}
    definition = layout.config.tasks[task]
    classes = len(weights["head.bias"])
    network = networks.build(definition.network, origin["image_shape"], classes, 0, definition.precision)
    network.load_state_dict(weights)
    network.to(device, memory_format=torch.channels_last)
    mean, std = tensors["transform/mean"].to(device), tensors["transform/std"].to(device)
    origin = {key: value for key, value in origin.items() if key not in ("seed", "key")}
    return network, InputTransform(definition.augmentation, mean, std), origin


def _prepared(layout: Layout, dataset: str, part: str) -> datasets.Images:
    return datasets.load(layout.prepared(dataset, part), f"run `lautum prepare {dataset}`")


def _target(layout: Layout, task: str, labels: int, seed: int) -> tuple[datasets.Images, splits.Split, list[int]]:
    """The prepared target training file, the split drawn from it, and the numbers of the task's classes."""
    definition = layout.config.tasks[task]
    images = _prepared(layout, definition.target, "train")
    path = layout.split(task, labels, seed)
    written = read_json(path, f"run `lautum split` for task {task}, {labels} labels, seed {seed}")
    parts = (np.array(written[name], dtype=np.int64) for name in ("labelled", "unlabelled", "validation"))
    drawn = splits.Split(*parts)
    if drawn.sha256 != written["sha256"] or written["target_train_sha256"] != images.sha256:
        raise Damaged(path, f"{path} is damaged or was drawn from another version of {definition.target}; run again")
    return images, drawn, splits.class_numbers(images.class_names, definition.classes, definition.target)


def _task_labels(labels: np.ndarray, classes: list[int]) -> np.ndarray:
    """Labels 0 .. K-1 in the order of the task's classes, int64, from the data set's own numbers."""
    position = np.full(max(classes) + 1, -1)
    position[classes] = np.arange(len(classes))
    return position[labels]


def _require_same_shape(definition, source: datasets.Images, target: datasets.Images) -> None:
    if source.images.shape[1:] != target.images.shape[1:]:
        raise LautumError(
            f"{definition.source} images are {source.images.shape[1:]} but {definition.target} images "
            f"{target.images.shape[1:]}; a task needs two data sets with the same image shape"
        )


def _peak_memory_mb(device: torch.device) -> float:
    """Peak resident memory of this process, or of the GPU's allocator, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
