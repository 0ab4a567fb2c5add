"""What the jobs of the graph read of the data; none of it computes with torch."""

from lautum.data import datasets, splits
from lautum.data.datasets import Images
from lautum.data.splits import Split
from lautum.errors import Damaged
from lautum.experiment.layout import Layout


def prepared(layout: Layout, dataset: str, part: str) -> Images:
    """A prepared data set. Raises as `lautum.data.datasets.load`."""
    return datasets.load(layout.prepared(dataset, part), remedy=f"run `lautum prepare {dataset}`")


def target(layout: Layout, task: str, labels: int, seed: int) -> tuple[Images, Split, list[int]]:
    """The prepared target training file of a task, the split drawn from it, and the numbers of the task's classes.

    Raises LautumError when a file is missing, Damaged when it is not whole or the two do not belong together.
    """
    definition = layout.config.tasks[task]
    images = prepared(layout, definition.target, "train")
    path = layout.split(task, labels, seed)
    written = splits.read(path, remedy=f"run `lautum split` for task {task}, {labels} labels, seed {seed}")
    if written.target_train_sha256 != images.sha256:
        raise Damaged(path, f"{path} was drawn from another version of {definition.target}; run again")
    return images, written.split(), splits.class_numbers(images.class_names, definition.classes, definition.target)
