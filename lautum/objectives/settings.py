"""What the hyper-parameters of all objectives share: how they are declared, and those that every stage has.

Each has a meaning, a unit, a default, and a `source` that says where the default comes from: `paper` (stated there),
`inferred` (from what), `tuned` (by which trials) or `chosen` (why). The paper's appendix D with the experimental setup
is not part of its public text, so few values can be marked `paper`.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from lautum.schema import Strict

SOURCES = ("paper", "inferred", "tuned", "chosen")


def setting(default: Any, unit: str, source: str, description: str, **bounds: Any) -> Any:
    """A hyper-parameter as a pydantic field that carries its unit and the source of its default."""
    return Field(default, description=description, json_schema_extra={"unit": unit, "source": source}, **bounds)


class StageSettings(Strict):
    """What both training stages share."""

    batch_size: int = setting(128, "images", "chosen: as in common MNIST practice", "labelled images per step", ge=2)
    learning_rate: float = setting(1e-3, "per step", "chosen: Adam's default", "Adam's step size", gt=0)
    clip_norm: float = setting(
        5.0, "L2 norm", "chosen: inactive in ordinary steps", "gradients are scaled down to this", gt=0
    )


class PretrainSettings(StageSettings):
    """Pre-transfer stage: labelled source images, Eq. 2."""

    needs_target: ClassVar[bool] = False  # whether the unlabelled target images, hence the label count, play a part


class TransferSettings(StageSettings):
    """Post-transfer stage: labelled target images, Eq. 3."""

    all_labels: ClassVar[bool] = False  # whether all target training images come with their labels: an upper bound

    head: Literal["keep", "reinitialise"] = setting(
        "keep",
        "-",
        "inferred: the paper's low accuracies with few labels",
        "what becomes of the pretrained classifier head",
    )
