"""Every hyper-parameter: its meaning, unit, default, and where the default comes from.

`source` is one of: `paper` (stated there), `inferred` (from what), `tuned` (by which trials), `chosen` (why). The
paper's appendix D with the experimental setup is not part of its public text, so few values can be marked `paper`.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lautum.errors import nearest

NETWORKS = ("conv16-32-fc128", "conv32-64-fc512", "conv32-64-fc1024", "wide-resnet-16-4")
SOURCES = ("paper", "inferred", "tuned", "chosen")


class Strict(BaseModel):
    """Frozen; a key that does not exist is refused with the nearest one that does."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values):
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key {key!r}{nearest(key, cls.model_fields)}")
        return values


def setting(default, unit: str, source: str, description: str, **bounds):
    """A hyper-parameter as a pydantic field that carries its unit and the source of its default."""
    return Field(default, description=description, json_schema_extra={"unit": unit, "source": source}, **bounds)


def effective_samples(batch_size: int, decay: float) -> float:
    """How many samples a moving average over batches holds: the independent ones with an average of that variance."""
    return batch_size * (1 + decay) / (1 - decay)


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


class SourceOnly(PretrainSettings):
    """Cross-entropy on the source: Eq. 2 without the Lautum term."""

    steps: int = setting(
        1000, "optimiser steps", "chosen: source accuracy has levelled off", "length of the stage", ge=1
    )


class MkMMD(SourceOnly):
    """Cross-entropy on the source + weight * Mk-MMD between penultimate features of source and target."""

    needs_target: ClassVar[bool] = True
    weight: float = setting(
        0.1, "per unit MMD^2", "chosen: lower end of the customary 0.1-0.3", "weight of the MMD term", ge=0
    )


class Lautum(SourceOnly):
    """Cross-entropy on the source - weight * L(w; x_target), Eq. 2."""

    needs_target: ClassVar[bool] = True
    weight: float = setting(
        3e-3,
        "per nat, beside the mean cross-entropy",
        "chosen: Eq. 2 sums over the batch, 0.3 / 100",
        "lambda of Eq. 2",
        ge=0,
    )
    rank: int = setting(
        50, "principal components", "chosen: bias r K / n_eff stays below 0.02 nats", "kept input dimensions r", ge=1
    )
    decay: float = setting(
        0.99, "per step", "chosen: averages about 200 batches", "EMA weight of the past, alpha", ge=0, lt=1
    )
    ridge: float = setting(
        1e-3, "fraction of tr(Sw)/K", "chosen: rho_max < 0.9995 for logits of equal variance", "ridge on Sw", gt=0
    )


class MutualInformation(Lautum):
    """Cross-entropy on the source + weight * I(w; x_target): minimised, Jakubovitz et al. 2023 (arXiv 2306.06731)."""

    weight: float = setting(0.1, "per nat", "chosen: helped in first trials", "weight of the information", ge=0)


class LautumFeatures(Lautum):
    """As `Lautum`, with the penultimate features in place of the logits."""


class LautumShuffled(Lautum):
    """Placebo: as `Lautum`, of logits and the inputs of other images."""


class LautumSource(Lautum):
    """Placebo: as `Lautum`, of source images and their logits."""

    needs_target: ClassVar[bool] = False


class Entropy(SourceOnly):
    """Control: cross-entropy on the source + weight * entropy of the predictions on target images."""

    needs_target: ClassVar[bool] = True
    weight: float = setting(0.1, "per nat", "chosen: a tenth of the cross-entropy's", "weight of the entropy", ge=0)


class Untrained(PretrainSettings):
    """No pre-transfer stage: the network as it is initialised."""

    steps: ClassVar[int] = 0


class TransferSettings(StageSettings):
    """Post-transfer stage: labelled target images, Eq. 3."""

    all_labels: ClassVar[bool] = False  # whether all target training images come with their labels: an upper bound

    head: Literal["keep", "reinitialise"] = setting(
        "keep",
        "-",
        "inferred: the paper's low accuracies with few labels",
        "what becomes of the pretrained classifier head",
    )


class Supervised(TransferSettings):
    """Cross-entropy on the labelled target images, Eq. 3."""

    steps: int = setting(400, "optimiser steps", "chosen: training loss has levelled off", "length of the stage", ge=1)


class SupervisedAllLabels(Supervised):
    """Upper bound: as `Supervised`, with the labels of all target training images."""

    all_labels: ClassVar[bool] = True


class SupervisedLautum(Supervised):
    """Cross-entropy on the labelled target images - weight * L(w; x_target) on the unlabelled ones (section 3)."""

    weight: float = setting(3e-3, "per nat", "chosen: as in the pre-transfer stage", "weight of the Lautum term", ge=0)
    rank: int = setting(
        50, "principal components", "chosen: as in the pre-transfer stage", "kept input dimensions r", ge=1
    )
    decay: float = setting(
        0.99, "per step", "chosen: as in the pre-transfer stage", "EMA weight of the past", ge=0, lt=1
    )
    ridge: float = setting(1e-3, "fraction of tr(Sw)/K", "chosen: as in the pre-transfer stage", "ridge on Sw", gt=0)


class TemporalEnsembling(TransferSettings):
    """Temporal Ensembling (Laine & Aila 2017): one shuffled pass over all target images per epoch."""

    epochs: int = setting(
        60, "passes over the target", "chosen: a fifth of Laine & Aila's 300", "length of the stage", ge=2
    )
    weight: float = setting(
        30.0, "per unit squared difference", "inferred: Laine & Aila's w_max", "w_max, before the factor M/N", ge=0
    )
    ensemble_decay: float = setting(0.6, "per epoch", "inferred: Laine & Aila", "decay of the ensemble Z", ge=0, lt=1)
    ramp_up: float = setting(
        80 / 300,
        "fraction of the epochs",
        "inferred: Laine & Aila, 80 of 300",
        "ramp-up of weight and rate",
        ge=0,
        le=1,
    )
    ramp_down: float = setting(
        50 / 300, "fraction of the epochs", "inferred: Laine & Aila, 50 of 300", "ramp-down of the rate", ge=0, le=1
    )


# An objective is one file, lautum/objectives/<name>.py, and its settings here: the two mappings are what a method is
# built from.
PRETRAIN: dict[str, type[PretrainSettings]] = {
    "source_only": SourceOnly,
    "mk_mmd": MkMMD,
    "lautum": Lautum,
    "mutual_information": MutualInformation,
    "lautum_features": LautumFeatures,
    "lautum_shuffled": LautumShuffled,
    "lautum_source": LautumSource,
    "entropy": Entropy,
    "untrained": Untrained,
}
TRANSFER: dict[str, type[TransferSettings]] = {
    "supervised": Supervised,
    "temporal_ensembling": TemporalEnsembling,
    "supervised_lautum": SupervisedLautum,
    "supervised_all_labels": SupervisedAllLabels,
}
