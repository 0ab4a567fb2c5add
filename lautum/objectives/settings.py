"""What the hyper-parameters of all objectives share: how they are declared, and those that every stage has.

Each has a meaning, a unit, a default, and a `source` that says where the default comes from: `paper` (stated there),
`inferred` (from what), `tuned` (by which trials) or `chosen` (why). The setup of the experiments is in appendix D of
the paper, which was not available when these were set, so few values can be marked `paper`.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field

from lautum.schema import Strict

SOURCES = ("paper", "inferred", "tuned", "chosen")


def require_source(source: str) -> None:
    """Raise ValueError when a text does not say where a value comes from: one of SOURCES, a colon, and more."""
    kind, _, reason = source.partition(":")
    if kind not in SOURCES or not reason.strip():
        raise ValueError(f"source {source!r} must begin with one of {', '.join(SOURCES)} and ':'")


def setting(default: Any, unit: str, source: str, description: str, silent: Any = ..., **bounds: Any) -> Any:
    """A hyper-parameter as a pydantic field that carries its unit and the source of its default.

    `silent`: of one that came after results had been published, the value that stands for what was done before. It says
    nothing in the keys (see `keyed`). It is not the default, which may change.
    """
    extra: dict[str, Any] = {"unit": unit, "source": source} | ({} if silent is ... else {"silent": silent})
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def keyed(settings: Strict) -> dict[str, Any]:
    """The settings that results are bound to: all, but for those at the value at which they are `silent`."""
    result = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "silent" in extra and getattr(settings, name) == extra["silent"]:
            del result[name]
    return result


class StageSettings(Strict):
    """What both training stages share."""

    batch_size: int = setting(128, "images", "chosen: as in common MNIST practice", "labelled images per step", ge=2)
    learning_rate: float = setting(1e-3, "per step", "chosen: Adam's default", "step size of the optimiser", gt=0)
    optimiser: Literal["adam", "sgd"] = setting(
        "adam",
        "-",
        "inferred: the author's networks of 2018 were trained with Adam",
        "Adam, or stochastic gradient descent",
        silent="adam",
    )
    momentum: float = setting(
        0.9, "-", "chosen: common practice", "of stochastic gradient descent", silent=0.9, ge=0, lt=1
    )
    weight_decay: float = setting(
        0.0,
        "per unit weight",
        "chosen: the main text names none",
        "L2 penalty, added to the gradient",
        silent=0.0,
        ge=0,
    )
    clip_norm: float | None = setting(
        5.0,
        "L2 norm",
        "chosen: seldom reached by the cross-entropy alone, in nearly every step with a strong Lautum term",
        "gradients are scaled down to this; null: never",
        gt=0,
    )


class PretrainSettings(StageSettings):
    """Pre-transfer stage: labelled source images, Eq. 2."""

    needs_target: ClassVar[bool] = False  # whether the unlabelled target images, hence the label count, play a part

    scaling: Literal["standardised", "unit"] = setting(
        "standardised",
        "-",
        "chosen: common practice",
        "inputs have the source's mean 0 and deviation 1 in each channel, or lie in [0, 1]; in both stages",
        silent="standardised",
    )
    initialisation: Literal["pytorch", "truncated-normal"] = setting(
        "pytorch",
        "-",
        "chosen: PyTorch's default",
        "of all weights: PyTorch's, or normal with deviation 0.1 cut off at 0.2 and biases of 0.1, as in TensorFlow's "
        "tutorials of the paper's time",
        silent="pytorch",
    )


class TransferSettings(StageSettings):
    """Post-transfer stage: labelled target images, Eq. 3."""

    all_labels: ClassVar[bool] = False  # whether all target training images come with their labels: an upper bound

    head: Literal["keep", "reinitialise"] = setting(
        "keep",
        "-",
        "chosen: the main text does not say; kept suits the paper's low accuracies with few labels",
        "what becomes of the pretrained classifier head",
    )
    trained: Literal["all", "hidden", "head"] = setting(
        "all",
        "-",
        "chosen: section 3 speaks of fine-tuning and does not say of which layers",
        "which weights are trained: all, all but the convolutions, or the classifier head alone",
        silent="all",
    )
