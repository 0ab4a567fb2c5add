"""What the settings of one task and method must agree on, checked before any job starts."""

import math
from collections.abc import Iterable

from lautum.averaging import effective_samples
from lautum.errors import nearest
from lautum.objectives.settings import StageSettings
from lautum.training.architectures import ARCHITECTURES

SMALLEST = 4  # pixels of a side, for two pooling layers


def require_consistent(config, task: str, method: str) -> None:
    """Refuse a pair of a `Config`'s grid whose jobs would fail or must not run; raises ValueError."""
    definition, where = config.tasks[task], f"tasks.{task}, method {method}"
    datasets = config.catalogue.datasets
    source, target = datasets[definition.source], datasets[definition.target]
    pretrain, transfer = config.pretrain_settings(task, method), config.transfer_settings(task, method)
    if transfer.head == "keep" and len(source.class_names) != definition.class_count:
        raise ValueError(
            f"{where}: head: keep needs as many target as source classes, got {definition.class_count} and "
            f"{len(source.class_names)}; set head: reinitialise"
        )
    held_out = config.evaluate.validation_images if config.evaluate.validation_from == "training" else 0
    taken = (max(definition.label_counts) + held_out) // definition.class_count
    for name in definition.classes or target.class_names:
        if target.train_counts and taken >= (images := target.train_counts[target.class_names.index(name)]):
            raise ValueError(
                f"{where}: label_counts: {max(definition.label_counts)} labelled and {held_out} validation images are "
                f"{taken} of each class, but {definition.target} has {images} training images of class {name}, some of "
                "which must stay unlabelled"
            )
    if source.image_shape != target.image_shape:
        raise ValueError(f"{where}: source images are {source.image_shape}, target images {target.image_shape}")
    network = config.network(task, method)
    built, _ = ARCHITECTURES.get(network, ("", {}))
    if built == "ConvNet" and min(source.image_shape[1:]) < SMALLEST:
        raise ValueError(
            f"{where}: {network} halves images twice and needs {SMALLEST} x {SMALLEST} pixels, got those of "
            f"{definition.source}, {source.image_shape[1]} x {source.image_shape[2]}"
        )
    for stage, settings, outputs in (
        ("pretrain", pretrain, len(source.class_names)),
        ("transfer", transfer, definition.class_count),
    ):
        if not hasattr(settings, "rank"):
            continue
        if settings.rank > math.prod(target.image_shape):
            raise ValueError(
                f"{where}: {stage}.rank must be at most {math.prod(target.image_shape)}, the inputs of an image of "
                f"{definition.target}, got {settings.rank}"
            )
        # Features are more outputs than classes; `LautumRegularizer` refuses what this lets pass.
        effective = effective_samples(settings.batch_size, settings.decay)
        if effective <= settings.rank + outputs:
            raise ValueError(
                f"{where}: {stage}.batch_size {settings.batch_size} with decay {settings.decay:g} averages over about "
                f"{effective:.0f} samples, which must be more than rank {settings.rank} + {outputs} outputs"
            )
    own = definition.own(method)
    if len({*config.seeds(task), *own.more_seeds}) < len(config.seeds(task)) + len(own.more_seeds):
        raise ValueError(
            f"{where}: its further seeds {list(own.more_seeds)} must be distinct, and others than the task's"
        )
    if config.evaluate.part == "test":
        again = sorted(set(own.tuning_seeds) & {*config.seeds(task), *own.more_seeds})
        if again:
            raise ValueError(
                f"{where}: its hyper-parameters were selected on seeds {', '.join(map(str, again))}; "
                "results need other seeds"
            )


def require_one_length(config) -> None:
    """Refuse a `Config` over universes whose post-transfer stages differ in steps; raises ValueError.

    Its budgets are steps that all methods were trained for. A method without steps, whose stage is measured in passes
    over all images, is compared at the longest of them.
    """
    (task,) = config.grid.tasks
    lengths: dict[int, str] = {}
    for method in config.grid.methods:
        transfer = config.transfer_settings(task, method)
        if getattr(transfer, "labelled_epochs", None) is not None:
            raise ValueError(
                f"tasks.{task}, method {method}: transfer.labelled_epochs: universes are compared after numbers of "
                "steps; set transfer.steps"
            )
        if hasattr(transfer, "steps"):
            lengths.setdefault(transfer.steps, method)
    if len(lengths) > 1:
        found = ", ".join(f"{steps} ({method})" for steps, method in lengths.items())
        raise ValueError(
            f"tasks.{task}: transfer.steps must be the same for all methods of a campaign over universes, got {found}"
        )


def require_stage_keys(stage: str, values: dict, schemas: Iterable[type[StageSettings]]) -> None:
    """Refuse, for all methods of a task, a setting that no objective of the stage has; raises ValueError."""
    allowed = dict.fromkeys(key for schema in schemas for key in schema.model_fields)
    for key in values:
        if key not in allowed:
            raise ValueError(f"unknown key {key!r} in {stage}{nearest(key, allowed)}")
