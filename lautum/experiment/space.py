"""A declared space of settings, and the methods that its points stand for.

A search (`lautum.experiment.search`) gives every method draws of its own and scores them on held-out images; universes
(`lautum.experiment.universes`) give all methods the same draws and score them on the test images. Both replace the
methods of a configuration's grid by variants of them, before it is checked.
"""

import math
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError, model_validator

from lautum.errors import LautumError, nearest, require_known
from lautum.experiment.catalogue import Catalogue
from lautum.objectives.settings import StageSettings, require_source
from lautum.schema import Strict, validated

STAGES: tuple[Literal["pretrain", "transfer"], ...] = ("pretrain", "transfer")


class Range(Strict):
    """The values that a hyper-parameter may take in a search, in its own unit (see `lautum.objectives.settings`)."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "log"
    source: str  # why these bounds

    @model_validator(mode="after")
    def _ordered(self):
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            above = " above 0" if self.scale == "log" else ""
            raise ValueError(f"low must be below high{above}, got {self.low} and {self.high}")
        require_source(self.source)
        return self

    def at(self, position: float, whole: bool = False) -> float:
        """The value at `position` in [0, 1], to three significant digits but never beyond the bounds."""
        if self.scale == "log":
            value = math.exp(math.log(self.low) + position * math.log(self.high / self.low))
        else:
            value = self.low + position * (self.high - self.low)
        value = min(max(float(f"{value:.3g}"), self.low), self.high)
        return round(value) if whole else value

    def ends(self, whole: bool) -> dict[str, float]:
        """Both bounds. Where values are `whole`, one that is no integer stays as it is, to be refused."""
        bounds = {"low": self.low, "high": self.high}
        return {name: int(end) if whole and end.is_integer() else end for name, end in bounds.items()}


def is_whole(schema: type[StageSettings], name: str) -> bool:
    """Whether a hyper-parameter counts something, if it is given at all, so that its values are rounded."""
    annotation = schema.model_fields[name].annotation
    kinds = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in get_args(annotation)]
    return annotation is int or {*kinds} == {int, NoneType}


def require_allowed(schema: type[StageSettings], objective: str, settings: dict[str, Any], where: str) -> None:
    """Raise LautumError when an objective does not have, or does not allow, these settings."""
    for name in settings:
        if name not in schema.model_fields:
            raise LautumError(
                f"{where}: unknown hyper-parameter {name!r} of {objective}{nearest(name, schema.model_fields)}"
            )
    try:
        validated(schema, settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise LautumError(f"{where}: {first['msg']}, got {first['input']}") from None
    except LautumError as error:
        raise LautumError(f"{where}: {error}") from error


class Variant(NamedTuple):
    """A method with some settings of its own."""

    name: str
    definition: dict[str, Any]  # what it adds to the method
    own: dict[str, Any]  # what it adds to what the method sets in each task: {stage: {setting: {value, source}}}, ...


class MethodOutline(BaseModel):
    """What of a method's definition a space refers to."""

    pretrain: str
    transfer: str

    def schemas(self, catalogue: Catalogue) -> dict[str, tuple[str, type[StageSettings]]]:
        """The objective and its settings of either stage. Raises LautumError for one that is not known."""
        require_known("pretrain objective", self.pretrain, catalogue.pretrain)
        require_known("transfer objective", self.transfer, catalogue.transfer)
        return {
            "pretrain": (self.pretrain, catalogue.pretrain[self.pretrain]),
            "transfer": (self.transfer, catalogue.transfer[self.transfer]),
        }


class _OwnOutline(BaseModel):
    pretrain: dict[str, Any] = {}
    transfer: dict[str, Any] = {}
    more_seeds: Any = None


class _TaskOutline(BaseModel):
    methods: dict[str, _OwnOutline] = {}

    def own(self, method: str) -> _OwnOutline:
        """What is said of one method in the task."""
        return self.methods.get(method, _OwnOutline())


class GridOutline(BaseModel):
    """What of a grid a space refers to."""

    tasks: list[str]
    methods: list[str]


class Outline(BaseModel):
    """What of a configuration's mapping a space refers to."""

    grid: GridOutline
    methods: dict[str, MethodOutline]
    tasks: dict[str, _TaskOutline]


def expanded(values: dict, outline: Outline, variants: dict[str, list[Variant]]) -> dict:
    """A configuration's mapping with the methods of its grid replaced by their variants."""
    methods, tasks, names = dict(values["methods"]), dict(values["tasks"]), []
    for method in outline.grid.methods:
        for variant in variants[method]:
            names.append(variant.name)
            methods[variant.name] = methods[method] | variant.definition
    for task in outline.grid.tasks:
        require_known("task", task, tasks)
        own = dict(tasks[task].get("methods", {}))
        for method in outline.grid.methods:
            base = own.get(method, {})
            for variant in variants[method]:
                stages = {stage: base.get(stage, {}) | variant.own.get(stage, {}) for stage in STAGES}
                own[variant.name] = base | variant.own | stages
        tasks[task] = tasks[task] | {"methods": own}
    return values | {"methods": methods, "tasks": tasks, "grid": values["grid"] | {"methods": tuple(names)}}
