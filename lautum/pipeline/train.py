"""The jobs that train: the two stages of the paper's Figure 1. Neither is ever given a test file."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lautum import objectives, schema
from lautum.data import splits
from lautum.data.transforms import InputTransform
from lautum.errors import LautumError, described, place
from lautum.experiment.layout import Cell, Layout
from lautum.objectives.settings import StageSettings
from lautum.pipeline import loading, receipt
from lautum.pipeline.environment import peak_memory_mb
from lautum.pipeline.locks import lock
from lautum.pipeline.run_record import StageCost, read_cost
from lautum.training import checkpoint, network_file, networks
from lautum.training.batches import Labelled, StageData
from lautum.training.checkpoint import Checkpoints
from lautum.training.device import select_device
from lautum.training.loop import train
from lautum.training.networks import Network, sha256_of_weights
from lautum.training.optimiser import SGD, Adam, Optimiser


def try_networks(layout: Layout) -> None:
    """Build the networks that plugins bring as the jobs will. Raises LautumError for one that cannot work."""
    config = layout.config
    for task, name in dict.fromkeys((cell.task, config.network(cell.task, cell.method)) for cell in layout.cells()):
        if name in config.catalogue.networks:
            source = config.catalogue.datasets[config.tasks[task].source]
            networks.build(name, source.image_shape, len(source.class_names), 0, plugins=config.catalogue.networks)


def pretrain(layout: Layout, task: str, method: str, labels: int, seed: int) -> Path:
    """Pre-transfer stage: a fresh network on the labelled source and, for some objectives, the unlabelled target.

    Returns the path of the network, beside which lies its cost; a receipt goes to the graph. Raises LautumError when a
    file is missing or the loss cannot be computed, Damaged when a file is not whole, Interrupted when the process was
    asked to stop.
    """
    definition, settings = layout.config.tasks[task], layout.config.pretrain_settings(task, method)
    device = select_device(layout.config.device, layout.config.threads)
    source = loading.prepared(layout, definition.source, "train")
    image_shape = source.images.shape[1:]
    images = torch.from_numpy(source.images).to(device)
    transform = InputTransform.for_source(images, definition.augmentation, settings.scaling)
    labelled = Labelled(images, torch.from_numpy(source.labels).to(device))
    origin = {"source_train_sha256": source.sha256}
    unlabelled = None
    if settings.needs_target:
        target, drawn, _ = loading.target(layout, task, labels, seed)
        if target.images.shape[1:] != image_shape:
            raise LautumError(
                f"{source.dataset} images are {image_shape} but {target.dataset} images {target.images.shape[1:]}; "
                "a task needs two data sets with the same image shape"
            )
        unlabelled = torch.from_numpy(target.images[drawn.unlabelled]).to(device)
        origin |= {"target_train_sha256": target.sha256, "split_sha256": drawn.sha256}
    network = networks.build(
        layout.config.network(task, method),
        image_shape,
        len(source.class_names),
        seed,
        definition.precision,
        settings.initialisation,
        layout.config.catalogue.networks,
    )
    if network.adaptation:
        print(f"{layout.config.network(task, method)}: {network.adaptation}", file=sys.stderr, flush=True)
    objective = layout.config.methods[method].pretrain
    stage = Stage(
        f"{task} {objective} {layout.pretrained_scope(method, labels)} seed {seed}",
        network.to(device).to(memory_format=torch.channels_last),
        objective,
        StageData(transform, labelled, unlabelled),
        settings,
        seed,
        origin | {"key": layout.pretrain_key(task, method, labels), "image_shape": image_shape},
    )
    path = run_stage(layout, layout.pretrained(task, method, labels, seed), stage)
    receipt.write(layout, layout.receipt(path), stage.origin["key"], seed, [path])
    return path


def transfer(layout: Layout, cell: Cell) -> Path:
    """Post-transfer stage: the pretrained network on the labelled target images and, for TE, the unlabelled ones.

    Returns the path of the network, beside which lies its cost. Raises as `pretrain`.
    """
    definition, settings = layout.config.tasks[cell.task], layout.config.transfer_settings(cell.task, cell.method)
    device = select_device(layout.config.device, layout.config.threads)
    path = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    target, drawn, classes = loading.target(layout, cell.task, cell.labels, cell.seed)
    expected = {
        "key": layout.pretrain_key(cell.task, cell.method, cell.labels),
        "seed": cell.seed,
        "image_shape": list(target.images.shape[1:]),
    }
    if layout.config.pretrain_settings(cell.task, cell.method).needs_target:
        expected |= {"target_train_sha256": target.sha256, "split_sha256": drawn.sha256}
    network, transform, origin = network_file.load(
        path,
        expected,
        layout.config.network(cell.task, cell.method),
        definition.precision,
        definition.augmentation,
        device,
        layout.config.catalogue.networks,
    )
    if settings.head == "reinitialise":
        initialisation = layout.config.pretrain_settings(cell.task, cell.method).initialisation
        networks.reinitialise_head(network, len(classes), cell.seed, initialisation)
    elif network.head.out_features != len(classes):
        raise LautumError(
            f"{cell.task}: the pretrained head has {network.head.out_features} classes, the target {len(classes)}; "
            "set `head: reinitialise` in the task's transfer settings"
        )
    network.set_trained(settings.trained)
    # Every method gets the labels of the labelled part only; all of them are for the upper bound.
    shown = np.concatenate([drawn.labelled, drawn.unlabelled]) if settings.all_labels else drawn.labelled
    labels = torch.from_numpy(splits.task_labels(target.labels[shown], classes))
    data = StageData(
        transform,
        Labelled(torch.from_numpy(target.images[shown]).to(device), labels.to(device)),
        torch.from_numpy(target.images[drawn.unlabelled]).to(device),
    )
    origin |= {"target_train_sha256": target.sha256, "split_sha256": drawn.sha256}
    wanted = getattr(settings, "snapshots", ())
    stage = Stage(
        f"{cell.task} {cell.method} n{cell.labels} seed {cell.seed}",
        network,
        layout.config.methods[cell.method].transfer,
        data,
        settings,
        cell.seed,
        origin | {"key": layout.transfer_key(cell.task, cell.method, cell.labels)},
        # Where there is a record they have been evaluated, and removed.
        layout.snapshots(cell) if wanted and not layout.record(cell).exists() else None,
    )
    return run_stage(layout, layout.transferred(cell), stage)


@dataclass(frozen=True)
class Stage:
    """One training stage of one run."""

    name: str  # shown beside the progress
    network: Network  # as the stage starts
    objective: str
    data: StageData
    settings: StageSettings
    seed: int
    origin: Mapping  # what the result depends on, written into it; JSON-serialisable
    snapshots: Path | None = None  # where the weights after the settings' `snapshots` go


def run_stage(layout: Layout, path: Path, stage: Stage) -> Path:
    """Run a stage to its end, from its last checkpoint on; write the network to `path` and, beside it, its cost.

    The network's bytes are reproducible. What is there already, whole and made from the same, is left alone. Raises
    LautumError for a loss that cannot be computed.
    """
    state = layout.checkpoint(path)
    start = sha256_of_weights(stage.network)
    origin = {**stage.origin, "seed": stage.seed, "start_sha256": start}
    with lock(state.with_suffix(".lock")):
        # Also by a copy of this job, perhaps of a driver that was killed, while this one waited.
        if _is_finished(path, origin) and (stage.snapshots is None or _is_of(stage.snapshots, origin)):
            state.unlink(missing_ok=True)  # of one that was killed when all else was written
            return path
        try:
            objective = objectives.build(
                stage.objective,
                stage.network,
                stage.data,
                stage.settings,
                stage.seed,
                layout.config.catalogue.objectives,
            )
            kept = getattr(stage.settings, "snapshots", ()) if stage.snapshots else ()
            # A checkpoint of a run that keeps none is not one to go on from for a run that does.
            identity = json.dumps(origin | ({"snapshots": kept} if kept else {}), sort_keys=True)
            checkpoints = Checkpoints(state, identity, stage.name, layout.config.checkpoint_seconds)
            trained = train(
                stage.network,
                objective,
                optimiser(stage.network, stage.settings),
                stage.settings.clip_norm,
                stage.seed,
                checkpoints,
                kept,
            )
        except LautumError:
            raise
        except Exception as error:
            modules = [layout.config.catalogue.objectives[stage.objective].__name__, type(stage.network).__module__]
            if where := place(error, modules):  # a mistake in a plugin
                raise LautumError(f"{stage.name}: {where}{described(error)}") from error
            if isinstance(error, ValueError):  # e.g. too few samples for the rank
                raise LautumError(f"{stage.name}: {error}") from error
            raise
        accuracy, scale = outputs(stage.network, stage.data)
        if not math.isfinite(scale):
            raise LautumError(
                f"{stage.name}: its outputs are not finite after the last step; lower learning_rate or the objective's "
                "weight"
            )
        if stage.snapshots:
            checkpoint.save(stage.snapshots, trained.snapshots, origin)
        network_file.save(path, stage.network, stage.data.transform, origin)
        device = stage.data.labelled.labels.device
        cost = StageCost(
            key=stage.origin["key"],
            seed=stage.seed,
            seconds=trained.seconds,
            images_per_second=trained.images / trained.seconds if trained.images else 0.0,
            resumed_at=trained.resumed_at,
            steps=objective.steps,
            peak_memory_mb=peak_memory_mb(device),
            device=str(device),
            accuracy=accuracy,
            logit_scale=scale,
            curve=trained.curve,
        )
        schema.write(path.with_suffix(".json"), cost)
        state.unlink(missing_ok=True)
    return path


def optimiser(network: nn.Module, settings: StageSettings) -> Optimiser:
    """The optimiser of those weights of a network that are trained."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if settings.optimiser == "sgd":
        return SGD(parameters, settings.momentum, settings.weight_decay)
    return Adam(parameters, settings.weight_decay)


@torch.inference_mode()
def outputs(network: Network, data: StageData, count: int = 2000) -> tuple[float, float]:
    """What a stage leaves behind: accuracy on the first `count` labelled images, and the scale of their logits.

    The scale is the root mean square of the logits around their mean over the classes, to which softmax is blind.
    """
    network.eval()
    images, labels = data.labelled.images[:count], data.labelled.labels[:count]
    logits = torch.cat([network(data.transform(batch)) for batch in images.split(250)])
    centred = logits - logits.mean(dim=1, keepdim=True)
    return float((logits.argmax(dim=1) == labels).float().mean()), float(centred.square().mean().sqrt())


def _is_finished(path: Path, origin: Mapping) -> bool:
    """Whether a stage's network and cost are both there, whole, and made from the same."""
    try:
        read_cost(path, origin["key"], origin["seed"])
    except LautumError:
        return False
    return _is_of(path, origin)


def _is_of(path: Path, origin: Mapping) -> bool:
    """Whether a file of weights is there, whole, and made from the same."""
    try:
        _, found = checkpoint.check(path)
    except LautumError:
        return False
    return found == json.loads(json.dumps(origin))
