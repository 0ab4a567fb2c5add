"""Subcommands that prepare, train and evaluate."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path

from lautum.cli.command import Command, config_file, count, load_layout
from lautum.errors import LautumError, require_known
from lautum.experiment import config_files
from lautum.experiment.layout import Cell, Layout


def _prepare(options: Namespace) -> None:
    from lautum.data import datasets
    from lautum.pipeline import receipt

    layout = load_layout(options)
    loaded = layout.config
    offline = os.environ.get("LAUTUM_OFFLINE") or loaded.folders.offline
    tasks = [loaded.tasks[name] for name in loaded.grid.tasks]
    wanted = options.datasets or dict.fromkeys(name for task in tasks for name in (task.source, task.target))
    for name in wanted:
        paths = datasets.prepare(
            name, Path(loaded.folders.data), Path(offline) if offline else None, loaded.catalogue.datasets
        )
        print(*paths, sep="\n")
        receipt.follow(layout.receipt_of_data(name), paths)


def _split(options: Namespace) -> None:
    from lautum.pipeline.split import split

    layout = load_layout(options)
    _require_labels(layout, options.task, options.labels)
    print(split(layout, options.task, options.labels, options.seed))


def _pretrain(options: Namespace) -> None:
    from lautum.pipeline.train import pretrain

    layout = load_layout(options)
    method, labels = _method_with(layout, options)
    print(pretrain(layout, options.task, method, labels, options.seed))


def _transfer(options: Namespace) -> None:
    from lautum.pipeline.train import transfer

    layout = load_layout(options)
    print(transfer(layout, _cell(layout, options, layout.transfer_key)))


def _evaluate(options: Namespace) -> None:
    from lautum.pipeline.evaluate import evaluate

    layout = load_layout(options)
    print(evaluate(layout, _cell(layout, options, layout.record_key)))


def _cells(options: Namespace) -> None:
    from lautum.pipeline.cells import finish

    layout = load_layout(options)
    chosen = []
    for text in options.cells:
        method, *numbers = text.split(":")
        try:
            labels, seed = map(count, numbers if numbers[1:] else [*numbers, str(options.seed)])
        except (ValueError, ArgumentTypeError):
            what = "a cell is written METHOD:LABELS or METHOD:LABELS:SEED, e.g. standard:50"
            raise LautumError(f"{what}, got {text[:200]!r}") from None
        _require_labels(layout, options.task, labels)
        require_known("method", method, layout.config.methods)
        layout.config.require_settings(options.task, method)
        chosen.append(Cell(options.task, method, labels, seed))
    networks = layout.networks(chosen)
    if len(networks) > 1 and not layout.config.pretrainings_per_job:
        raise LautumError(
            f"{' '.join(options.cells)} begin with {len(networks)} different pre-trainings; give those of one, or set "
            "pretrainings_per_job"
        )
    batch = layout.batch(chosen)
    _require_key(options, batch.key)
    print(finish(layout, batch))


def _require_labels(layout: Layout, task: str, labels: int) -> None:
    require_known("task", task, layout.config.tasks)
    counts = layout.config.tasks[task].label_counts
    if labels not in counts:
        raise LautumError(
            f"task {task} has no label count {labels}; its label_counts are {', '.join(map(str, counts))}"
        )


def _cell(layout: Layout, options: Namespace, key_of: Callable[[str, str, int], str]) -> Cell:
    """The cell that is asked for, whose key `key_of` a task, a method and a label count is the one expected."""
    _require_labels(layout, options.task, options.labels)
    require_known("method", options.method, layout.config.methods)
    layout.config.require_settings(options.task, options.method)
    _require_key(options, key_of(options.task, options.method, options.labels))
    return Cell(options.task, options.method, options.labels, options.seed)


def _method_with(layout: Layout, options: Namespace) -> tuple[str, int]:
    """A method (and label count) of the grid whose pre-transfer stage is the one asked for."""
    require_known("task", options.task, layout.config.tasks)
    require_known("pretrain objective", options.objective, layout.config.catalogue.pretrain)
    if options.labels is not None:
        _require_labels(layout, options.task, options.labels)
    elif layout.config.catalogue.pretrain[options.objective].needs_target:
        raise LautumError(f"objective {options.objective} uses the unlabelled target images, so it needs --labels")
    labels = options.labels or layout.config.tasks[options.task].label_counts[0]
    methods = [name for name in layout.config.grid.methods if layout.config.methods[name].pretrain == options.objective]
    for name in methods:
        layout.config.require_settings(options.task, name)
    keys = {layout.pretrain_key(options.task, name, labels): name for name in methods}
    if not keys:
        raise LautumError(
            f"no method of the grid has the pretrain objective {options.objective}; add one to grid.methods"
        )
    if options.key is None and len(keys) > 1:
        variants = ", ".join(f"{key} ({name})" for key, name in keys.items())
        raise LautumError(f"{options.objective} has several settings in this grid: choose one with --key: {variants}")
    key = options.key or next(iter(keys))
    if key not in keys:
        _require_key(options, next(iter(keys)))
    return keys[key], labels


def _require_key(options: Namespace, key: str) -> None:
    if options.key not in (None, key):
        raise LautumError(
            f"the settings or the code changed since this job was planned (key {options.key}, now {key}); "
            "start the campaign again"
        )


def _verify(options: Namespace) -> None:
    from lautum.pipeline import verify
    from lautum.results import sums

    layout = load_layout(options)
    found = verify.verify(layout, config_files.files(options.config))
    for path, done in found.damaged.items():
        print(f"damaged: {path} ({done})", file=sys.stderr)
    for path, done in found.dated.items():
        print(f"dated in the future: {path} ({done})", file=sys.stderr)
    for said in found.refused:
        print(said, file=sys.stderr)
    print(f"{found.whole} files are whole, {len(found.damaged)} damaged")
    if found.damaged:
        raise LautumError("run the campaign again to make the damaged files anew")
    if found.refused:
        raise LautumError(f"{len(found.refused)} files could not be read")
    sums.require_whole(layout.report)  # perhaps the only copy of some runs: not set aside


def _task(parser: ArgumentParser) -> None:
    parser.add_argument("--task", required=True, help="e.g. digits-letters")


def _labels(parser: ArgumentParser) -> None:
    parser.add_argument("--labels", type=count, required=True, metavar="N", help="labelled target images")


def _seed(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=count, required=True, metavar="S")


def _key(parser: ArgumentParser) -> None:
    parser.add_argument("--key", help="refuse to run if the settings no longer hash to this (the graph passes it)")


def _method(parser: ArgumentParser) -> None:
    parser.add_argument("--method", required=True, help="a method of the configuration, e.g. lautum")


def _objective(parser: ArgumentParser) -> None:
    parser.add_argument("--objective", required=True, help="a pre-transfer objective, e.g. lautum")
    parser.add_argument("--labels", type=count, metavar="N", help="labelled target images")


def _datasets(parser: ArgumentParser) -> None:
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="default: all that the grid needs")


def _several(parser: ArgumentParser) -> None:
    parser.add_argument(
        "cells", nargs="+", metavar="METHOD:LABELS[:SEED]", help="e.g. standard:50 temporal_ensembling:50"
    )


COMMANDS = {
    "prepare": Command(
        "read or download data sets and write each as two prepared files, train and test",
        _prepare,
        (config_file, _datasets),
    ),
    "split": Command(
        "draw the labelled target images of one seed",
        _split,
        (config_file, _task, _labels, _seed),
    ),
    "pretrain": Command(
        "pre-transfer stage: train on the labelled source and, for some objectives, the unlabelled target",
        _pretrain,
        (config_file, _task, _objective, _seed, _key),
    ),
    "transfer": Command(
        "post-transfer stage: train the pretrained network on the labelled target images",
        _transfer,
        (config_file, _task, _method, _labels, _seed, _key),
    ),
    "evaluate": Command(
        "predict the target test set with a transferred network and write the record",
        _evaluate,
        (config_file, _task, _method, _labels, _seed, _key),
    ),
    "cells": Command(
        "transfer and evaluate several cells that begin with the same pre-training; with pretrainings_per_job, make "
        "several pre-trainings and their cells",
        _cells,
        (config_file, _task, _seed, _key, _several),
    ),
    "verify": Command(
        "read every finished file of the grid and set damaged ones aside, to be made again",
        _verify,
        (config_file,),
    ),
}
