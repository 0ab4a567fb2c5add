"""The job that draws which target images carry labels."""

from pathlib import Path

from lautum.data import splits
from lautum.experiment.layout import Layout
from lautum.pipeline import loading


def split(layout: Layout, task: str, labels: int, seed: int) -> Path:
    """Draw the labelled subset of a task and write it, with its SHA-256, as JSON; returns the file's path.

    Raises LautumError when the data set is missing or too small, Damaged when it is not whole.
    """
    definition, evaluate = layout.config.tasks[task], layout.config.evaluate
    images = loading.prepared(layout, definition.target, "train")
    classes = splits.class_numbers(images.class_names, definition.classes, definition.target)
    drawn = splits.draw(
        images.labels, classes, labels, seed, definition.target, evaluate.validation_images, evaluate.validation_from
    )
    path = layout.split(task, labels, seed)
    splits.write(path, drawn, images, classes, seed, layout.split_key(task, labels))
    return path
