"""What a data set must be to be trained and evaluated on."""

import numpy as np

from lautum.errors import LautumError

MOST_CLASSES = 256  # predictions are kept in a byte each


def require_sound(
    where: str, images: np.ndarray, labels: np.ndarray, shape: tuple[int, int, int], class_names: tuple[str, ...]
) -> None:
    """Raise LautumError unless these are images uint8 (N, *shape), N > 0, with labels int64 (N,) of these classes.

    `where` says which images, for messages.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64 or labels.ndim != 1:
        raise LautumError(
            f"{where}: images are {images.dtype} {images.shape} and labels {labels.dtype} {labels.shape}, "
            "expected uint8 (N, C, H, W) and int64 (N,)"
        )
    if images.shape[1:] != tuple(shape):
        raise LautumError(f"{where}: images are {images.shape[1:]} (C, H, W), expected {tuple(shape)}")
    if len(images) != len(labels):
        raise LautumError(f"{where}: there are {len(images)} images but {len(labels)} labels")
    if not len(images):
        raise LautumError(f"{where}: there are no images, expected at least one")
    if not 0 <= labels.min() <= labels.max() < len(class_names):
        raise LautumError(
            f"{where}: labels are {labels.min()} to {labels.max()}, expected 0 to {len(class_names) - 1}, "
            f"the places of the {len(class_names)} classes"
        )


def require_every_class(where: str, labels: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Raise LautumError unless every class has an image. (A part of CIFAR-100, with a task's classes, need not.)"""
    counts = np.bincount(labels, minlength=len(class_names))
    if counts.min() == 0:
        raise LautumError(f"{where}: there is no image of class {class_names[int(counts.argmin())]}")
