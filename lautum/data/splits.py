"""Which target training images carry labels: drawn once per seed, the same for every method, and kept in a file.

The images of each class are ranked by SHA-256 of (what for, dataset, seed, index): no random-number library is
involved, so the same configuration selects the same images on any machine. For one seed, a larger label count contains
the smaller ones.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from lautum import schema
from lautum.data.datasets import Images
from lautum.errors import Damaged, LautumError, nearest
from lautum.files import sha256_of_arrays

Indices = list[Annotated[int, Field(ge=0, lt=2**31)]]


@dataclass(frozen=True)
class Split:
    """Sorted indices into the prepared target training file; together they cover the task's classes."""

    labelled: np.ndarray  # int64 (M,), M / classes images of each class
    unlabelled: np.ndarray  # int64 (U,)
    validation: np.ndarray  # int64 (V,), empty unless hyper-parameters are being selected

    @property
    def sha256(self) -> str:
        return sha256_of_arrays(self.labelled, self.unlabelled, self.validation)


class SplitFile(schema.Strict):
    """A split as it is written, with what it was drawn from."""

    target: str  # data set
    target_train_sha256: str
    classes: list[str]  # that take part, in the order of the task
    seed: int
    key: str  # of the settings and the code that it was drawn with
    labelled: Indices
    unlabelled: Indices
    validation: Indices
    sha256: str  # of the three parts (`Split.sha256`)

    def split(self) -> Split:
        """The three parts as arrays."""
        return Split(*(np.array(part, dtype=np.int64) for part in (self.labelled, self.unlabelled, self.validation)))


def write(path: Path, split: Split, target: Images, classes: Sequence[int], seed: int, key: str) -> None:
    """Write a split of `target` into the `classes` of these numbers as JSON."""
    written = SplitFile(
        target=target.dataset,
        target_train_sha256=target.sha256,
        classes=[target.class_names[number] for number in classes],
        seed=seed,
        key=key,
        labelled=split.labelled.tolist(),
        unlabelled=split.unlabelled.tolist(),
        validation=split.validation.tolist(),
        sha256=split.sha256,
    )
    schema.write(path, written)


def read(path: Path, expected: Mapping, remedy: str = "run again") -> SplitFile:
    """What `write` wrote, with the `expected` target, seed and key.

    Raises LautumError when the file is missing, Damaged when it is no split, altered or another, with `remedy` as the
    advice.
    """
    written = schema.read(path, SplitFile, what="a split", remedy=remedy)
    schema.require_expected(path, written, expected, remedy)
    if written.split().sha256 != written.sha256:
        raise Damaged(path, f"{path} is damaged: its three parts do not have the SHA-256 written in it; {remedy}")
    return written


def class_numbers(class_names: tuple[str, ...], wanted: Sequence[str] | None, dataset: str) -> list[int]:
    """The dataset's numbers of the classes `wanted` by name, in that order (None: all).

    Raises LautumError for a class that the dataset does not have.
    """
    if wanted is None:
        return list(range(len(class_names)))
    for name in wanted:
        if name not in class_names:
            raise LautumError(f"{dataset} has no class {name!r}{nearest(name, class_names)}")
    return [class_names.index(name) for name in wanted]


def draw(
    labels: np.ndarray,
    classes: list[int],
    label_count: int,
    seed: int,
    dataset: str,
    validation_count: int = 0,
    validation_from: str = "training",
) -> Split:
    """Draw a stratified split of the training images whose label is in `classes`.

    Args:
        labels: labels of the prepared training file, int64 (N,).
        classes: the labels that take part.
        label_count: number of labelled images over all classes.
        seed: fixes the labelled images; the validation images are the same for every seed.
        dataset: name that enters the ranking.
        validation_count: images over all classes held out from both other parts.
        validation_from: "training": they are held out of the training set before any image is labelled, the same for
            every seed; "labelled": they are some of the labelled images, which are then fewer to train on.

    Raises:
        LautumError: a count is not a multiple of the number of classes, or a class has too few images.
    """
    for name, count in (("label count", label_count), ("number of validation images", validation_count)):
        if count % len(classes):
            raise LautumError(
                f"{name} {count} is not a multiple of the {len(classes)} classes of {dataset}; "
                f"use {count - count % len(classes)} or {count + len(classes) - count % len(classes)}"
            )
    per_class, validation_per_class = label_count // len(classes), validation_count // len(classes)
    if validation_from == "labelled" and validation_count >= label_count:
        raise LautumError(
            f"{validation_count} validation images cannot be taken from {label_count} labelled ones of {dataset}; "
            "lower validation_images"
        )
    held_out = 0 if validation_from == "labelled" else validation_per_class
    labelled, unlabelled, validation = [], [], []
    for number in classes:
        members = np.flatnonzero(labels == number)
        if len(members) <= per_class + held_out:
            raise LautumError(
                f"class {number} of {dataset} has {len(members)} training images, but {per_class} labelled and "
                f"{held_out} validation images per class are asked for and some must stay "
                "unlabelled; lower the label count"
            )
        members = _ranked(members, "validation", dataset)
        validation.append(members[:held_out])
        members = _ranked(members[held_out:], "labelled", dataset, seed)
        taken = validation_per_class - held_out  # of the labelled images
        validation.append(members[:taken])
        labelled.append(members[taken:per_class])
        unlabelled.append(members[per_class:])
    return Split(*(np.sort(np.concatenate(part)).astype(np.int64) for part in (labelled, unlabelled, validation)))


def task_labels(labels: np.ndarray, classes: list[int]) -> np.ndarray:
    """Labels 0 .. K-1 in the order of the task's classes, int64, from the data set's own numbers (all in `classes`)."""
    position = np.full(max(classes) + 1, -1)
    position[classes] = np.arange(len(classes))
    return position[labels]


def _ranked(indices: np.ndarray, *axes: str | int) -> np.ndarray:
    prefix = "|".join(map(str, axes))
    return np.array(sorted(indices.tolist(), key=lambda i: hashlib.sha256(f"{prefix}|{i}".encode()).digest()))
