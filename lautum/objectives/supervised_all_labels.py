"""Post-transfer with the labels of all target training images: the upper bound on what unlabelled images can give."""

from typing import ClassVar

from lautum.objectives import supervised


class Settings(supervised.Settings):
    """Upper bound: as `supervised.Settings`, with the labels of all target training images."""

    all_labels: ClassVar[bool] = True


class Objective(supervised.Objective):
    """Mean cross-entropy over a batch of target training images, all of which are labelled here."""
