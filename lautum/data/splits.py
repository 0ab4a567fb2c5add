"""Which target training images carry labels: drawn once per seed, the same for every method.

The images of each class are ranked by SHA-256 of (what for, dataset, seed, index): no random-number library is
involved, so the same configuration selects the same images on any machine. For one seed, a larger label count contains
the smaller ones.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from lautum.errors import LautumError
from lautum.files import sha256_of_arrays


@dataclass(frozen=True)
class Split:
    """Sorted indices into the prepared target training file; together they cover the task's classes."""

    labelled: np.ndarray  # int64 (M,), M / classes images of each class
    unlabelled: np.ndarray  # int64 (U,)
    validation: np.ndarray  # int64 (V,), empty unless hyper-parameters are being selected

    @property
    def sha256(self) -> str:
        return sha256_of_arrays(self.labelled, self.unlabelled, self.validation)


def class_numbers(class_names: tuple[str, ...], wanted: tuple[str, ...] | None, dataset: str) -> list[int]:
    """The dataset's numbers of the classes `wanted` by name, in that order (None: all).

    Raises LautumError for a class that the dataset does not have.
    """
    if wanted is None:
        return list(range(len(class_names)))
    for name in wanted:
        if name not in class_names:
            raise LautumError(f"{dataset} has no class {name!r}; it has {', '.join(class_names)}")
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


def _ranked(indices: np.ndarray, *axes: str | int) -> np.ndarray:
    prefix = "|".join(map(str, axes))
    return np.array(sorted(indices.tolist(), key=lambda i: hashlib.sha256(f"{prefix}|{i}".encode()).digest()))
