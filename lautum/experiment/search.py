"""A declared search for hyper-parameters: its space, the trials drawn from it, and who goes on to the next rung.

A configuration with `search` is one of trials. Every method of its grid is replaced by `trials` methods of its own,
`<method>-t00`, `<method>-t01`, ..., whose values are the points of a quasi-random design in the method's space: the
same number for every method and task, fixed before anything is run. Successive halving (Jamieson & Talwalkar 2016) with
seeds as the resource: after `rungs[0]` seeds the best `trials * rungs[0] / rungs[1]` trials of each method go on to
`rungs[1]` seeds, and so on; the same rule for all.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from lautum.errors import LautumError, nearest, require_known
from lautum.experiment.catalogue import Catalogue
from lautum.objectives.settings import SOURCES
from lautum.schema import Strict

MOST_TRIALS = 1000  # of all methods together
DESIGN_SEED = 20191105  # fixes the quasi-random points; any number would do
DESIGNS = Path(__file__).with_name("designs.json")  # the points of some, drawn once


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
        if self.source.split(":")[0] not in SOURCES:
            raise ValueError(f"source {self.source!r} must begin with one of {', '.join(SOURCES)} and ':'")
        return self

    def at(self, position: float) -> float:
        """The value at `position` in [0, 1], to three significant digits."""
        if self.scale == "log":
            value = math.exp(math.log(self.low) + position * math.log(self.high / self.low))
        else:
            value = self.low + position * (self.high - self.low)
        return float(f"{value:.3g}")


class Space(Strict):
    """What is searched for one method."""

    pretrain: dict[str, Range] = {}
    transfer: dict[str, Range] = {}


class Search(Strict):
    """How hyper-parameters are selected; `space` has an entry for each method of the grid."""

    trials: int = Field(ge=2, le=MOST_TRIALS)  # for each method
    rungs: tuple[int, ...] = Field(min_length=1)  # numbers of seeds after which trials are compared
    space: dict[str, Space]

    @model_validator(mode="after")
    def _halving(self):
        if self.rungs[0] < 1 or any(b <= a for a, b in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ValueError(f"rungs must be increasing numbers of seeds, got {list(self.rungs)}")
        if self.trials * self.rungs[0] < self.rungs[-1]:
            raise ValueError(f"{self.trials} trials are too few for rungs {list(self.rungs)}: none would be left")
        return self

    def kept(self, rung: int) -> int:
        """How many trials of each method go on after rung 1, 2, ...: as many runs in every rung."""
        return self.trials * self.rungs[0] // self.rungs[rung]


def require_selectable(config) -> None:
    """Refuse a campaign (`lautum.experiment.config.Config`) that could select nothing; raises ValueError."""
    grid, evaluate = config.grid, config.evaluate
    if config.search is not None:
        if evaluate.part != "validation":
            raise ValueError("search needs evaluate.part: validation; the test set selects nothing")
        for name in config.search.space:
            require_known(
                "method in search.space",
                name,
                [known for known, method in config.methods.items() if method.trial_of is None],
            )
        for task in grid.tasks:
            if len(config.seeds(task)) != config.search.rungs[-1]:
                raise ValueError(
                    f"the last of search.rungs must be the number of seeds of {task}, {len(config.seeds(task))}, "
                    f"got {config.search.rungs[-1]}"
                )
    if evaluate.part == "validation":
        plain = [name for name in grid.methods if config.methods[name].trial_of is None]
        if plain:
            raise ValueError(f"evaluate.part: validation needs a search, or trial_of for {', '.join(plain)}")
        for task in grid.tasks:
            classes, fewest = config.tasks[task].class_count, min(config.tasks[task].label_counts)
            if evaluate.validation_images % classes:
                raise ValueError(
                    f"evaluate.validation_images must be a multiple of the {classes} classes of {task}, "
                    f"got {evaluate.validation_images}"
                )
            if evaluate.validation_from == "labelled" and evaluate.validation_images >= fewest:
                raise ValueError(
                    f"evaluate.validation_images must be below the {fewest} labelled images of {task} that they are "
                    f"taken from, got {evaluate.validation_images}"
                )


class _MethodOutline(BaseModel):
    pretrain: str
    transfer: str


class _OwnOutline(BaseModel):
    pretrain: dict[str, Any] = {}
    transfer: dict[str, Any] = {}


class _TaskOutline(BaseModel):
    methods: dict[str, _OwnOutline] = {}


class _GridOutline(BaseModel):
    tasks: list[str]
    methods: list[str]


class _Outline(BaseModel):
    """What of a configuration's mapping a search refers to."""

    search: Search
    grid: _GridOutline
    methods: dict[str, _MethodOutline]
    tasks: dict[str, _TaskOutline]


def expand(values: dict, catalogue: Catalogue) -> dict:
    """A configuration's mapping with the methods of its grid replaced by their trials; unchanged without `search`.

    What is malformed is left as it is, for the configuration's own check to refuse. Raises LautumError for a method
    without a space, a hyper-parameter that the method does not have, or bounds outside what it allows.
    """
    try:
        outline = _Outline.model_validate(values)
    except ValidationError:
        return values
    search, methods, tasks, names = outline.search, dict(values["methods"]), dict(values["tasks"]), []
    if (trials := search.trials * len(outline.grid.methods)) > MOST_TRIALS:
        raise LautumError(f"search.trials of all methods together are {trials}; at most {MOST_TRIALS}")
    for method in outline.grid.methods:
        require_known("method in grid.methods", method, methods)
        if method not in search.space:
            raise LautumError(f"search.space has no entry for method {method!r}{nearest(method, search.space)}")
        for number, settings in enumerate(_trials(search, method, outline.methods[method], catalogue)):
            names.append(f"{method}-t{number:02d}")
            methods[names[-1]] = methods[method] | {"trial_of": method}
            for task in outline.grid.tasks:
                require_known("task", task, tasks)
                own = tasks[task].get("methods", {})
                both = {stage: own.get(method, {}).get(stage, {}) | settings[stage] for stage in settings}
                tasks[task] = tasks[task] | {"methods": own | {names[-1]: both}}
    return values | {"methods": methods, "tasks": tasks, "grid": values["grid"] | {"methods": tuple(names)}}


def _trials(search: Search, method: str, definition: _MethodOutline, catalogue: Catalogue) -> list[dict[str, dict]]:
    """The settings of each trial of a method, {stage: {name: {value, source}}}."""
    fields: dict[tuple[str, str], tuple[Range, bool]] = {}
    space = search.space[method]
    require_known("pretrain objective", definition.pretrain, catalogue.pretrain)
    require_known("transfer objective", definition.transfer, catalogue.transfer)
    for stage, objective, schema, ranges in (
        ("pretrain", definition.pretrain, catalogue.pretrain[definition.pretrain], space.pretrain),
        ("transfer", definition.transfer, catalogue.transfer[definition.transfer], space.transfer),
    ):
        for name, allowed in ranges.items():
            if name not in schema.model_fields:
                raise LautumError(
                    f"search.space.{method}.{stage}: unknown hyper-parameter {name!r} of {objective}"
                    f"{nearest(name, schema.model_fields)}"
                )
            fields[stage, name] = allowed, schema.model_fields[name].annotation is int
            for end in ("low", "high"):
                try:
                    schema.model_validate({name: _rounded(getattr(allowed, end), fields[stage, name][1])})
                except ValidationError as error:
                    complaint = error.errors(include_url=False)[0]["msg"]
                    raise LautumError(
                        f"search.space.{method}.{stage}.{name}.{end}: {complaint}, got {getattr(allowed, end):g}"
                    ) from None
    trials = []
    for number, point in enumerate(quasi_random(search.trials, len(fields))):
        settings: dict[str, dict] = {"pretrain": {}, "transfer": {}}
        for ((stage, name), (allowed, whole)), position in zip(fields.items(), point, strict=True):
            value = _rounded(allowed.at(position), whole)
            settings[stage][name] = {"value": value, "source": f"chosen: trial {number} of {search.trials}"}
        trials.append(settings)
    return trials


def _rounded(value: float, whole: bool) -> float:
    return round(value) if whole else value


def quasi_random(count: int, dimensions: int) -> np.ndarray:
    """`count` points in [0, 1)^dimensions, (count, dimensions): a Latin hypercube of low centred discrepancy.

    Every coordinate falls once into each of `count` equal intervals. With as few points as a search has, Sobol and
    Halton sequences leave some pairs of coordinates strongly correlated (16 points in 6 dimensions: up to 0.8 and 0.5
    against 0.2 here), and their hyper-parameters could not be told apart.

    Those of 16 points are kept in designs.json: another release of SciPy may draw others, but not change which trials
    there were, and every job of a search would wait a second for SciPy.
    """
    kept = _designs().get(f"{count} x {dimensions}")
    return draw(count, dimensions) if kept is None else np.array(kept)


@cache
def _designs() -> dict[str, list[list[float]]]:
    return json.loads(DESIGNS.read_text())


@cache
def draw(count: int, dimensions: int) -> np.ndarray:
    """The design that `quasi_random` describes, from SciPy."""
    from scipy.stats import qmc  # half a second

    if dimensions == 0:
        return np.empty((count, 0))
    design = qmc.LatinHypercube(dimensions, optimization="random-cd", rng=np.random.default_rng(DESIGN_SEED))
    return design.random(count)
