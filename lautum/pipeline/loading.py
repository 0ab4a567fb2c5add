"""What the jobs of the graph read of the data; none of it computes with torch.

Every file must say of itself what is expected where it lies.
"""

import numpy as np

from lautum.data import datasets, splits
from lautum.data.datasets import Images
from lautum.data.splits import Split, SplitFile
from lautum.errors import Damaged
from lautum.experiment.layout import Layout


def prepared(layout: Layout, dataset: str, part: str) -> Images:
    """A prepared data set. Raises as `lautum.data.datasets.load`."""
    return datasets.load(layout.prepared(dataset, part), dataset, part, remedy=f"run `lautum prepare {dataset}`")


def split(layout: Layout, task: str, labels: int, seed: int) -> SplitFile:
    """A labelled subset of a task. Raises as `lautum.data.splits.read`."""
    expected = {"target": layout.config.tasks[task].target, "seed": seed, "key": layout.split_key(task, labels)}
    remedy = f"run `lautum split` for task {task}, {labels} labels, seed {seed}"
    return splits.read(layout.split(task, labels, seed), expected, remedy)


def target(layout: Layout, task: str, labels: int, seed: int) -> tuple[Images, Split, list[int]]:
    """The prepared target training file of a task, the split drawn from it, and the numbers of the task's classes.

    Raises LautumError when a file is missing, Damaged when it is not whole or the two do not belong together.
    """
    definition = layout.config.tasks[task]
    images = prepared(layout, definition.target, "train")
    path, written = layout.split(task, labels, seed), split(layout, task, labels, seed)
    if written.target_train_sha256 != images.sha256:
        raise Damaged(path, f"{path} was drawn from another version of {definition.target}; run again")
    drawn = written.split()
    classes = splits.class_numbers(images.class_names, definition.classes, definition.target)
    members = np.flatnonzero(np.isin(images.labels, classes))
    if not np.array_equal(np.sort(np.concatenate([drawn.labelled, drawn.unlabelled, drawn.validation])), members):
        raise Damaged(path, f"{path} does not divide the images of the task's classes; run again")
    return images, drawn, classes
