"""A declared space of the choices that the main text leaves open, and the sample of it that all methods are run in.

A configuration with `universes` asks under which of the choices that a reader could have made a claim holds (Simonsohn
et al. 2020, specification curves; Steegen et al. 2016, multiverse analysis). A universe is one choice of everything in
`factors`, the same for all methods of the grid, which become `<method>-u00`, `<method>-u01`, ... Pre-transfer choices
cost most, so each of them is crossed with several post-transfer choices, and universes that share them share
their pre-trainings. The budget of the post-transfer stage is no factor: `transfer.snapshots` measures many at once.

A file that extends such a configuration with `universes: {only: 17}` is an ordinary campaign with that universe's
settings: a universe that stood out among many is to be looked at again, with seeds that had no part in picking it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from lautum.errors import LautumError, nearest, require_known
from lautum.experiment import designs
from lautum.experiment.catalogue import Catalogue
from lautum.experiment.fields import Seeds
from lautum.experiment.space import (
    STAGES,
    MethodOutline,
    Outline,
    Range,
    Variant,
    expanded,
    is_whole,
    require_allowed,
)
from lautum.objectives.settings import require_source
from lautum.schema import Strict

MOST_UNIVERSES = 512
LENGTHS = ("steps", "labelled_epochs", "snapshots", "epochs")
CLAIM = ("lautum", "standard")  # the paper's: what a campaign over universes is about


class Factor(Strict):
    """One choice: a range of one setting, or named levels that set one or several."""

    stage: Literal["pretrain", "transfer"]
    methods: tuple[str, ...] | None = None  # that it applies to; None: all whose objective has the settings
    source: str  # why a reader could have chosen any of them
    setting: str | None = None  # of which `low` to `high` is the range
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "log"
    levels: dict[str, dict[str, Any]] | None = None  # name -> the settings that it stands for

    @model_validator(mode="after")
    def _one_kind(self):
        require_source(self.source)
        if (self.levels is None) == (self.setting is None):
            raise ValueError("a factor has either levels, or a setting with low and high")
        if self.levels is not None and len(self.levels) < 2:
            raise ValueError(f"levels must be at least 2, got {list(self.levels)}")
        if not self.settings:
            raise ValueError(f"levels must set something, got {self.levels}")
        if self.methods == ():
            raise ValueError("methods must be some, or left out: all whose objective has the settings")
        if self.setting is not None:
            if self.low is None or self.high is None:
                raise ValueError("a factor with a setting needs low and high")
            self._range()
        return self

    def _range(self) -> Range:
        assert self.low is not None and self.high is not None
        return Range(low=self.low, high=self.high, scale=self.scale, source=self.source)

    @property
    def settings(self) -> list[str]:
        """What it sets, in any of its levels."""
        if self.levels is None:
            return [str(self.setting)]
        return list(dict.fromkeys(key for level in self.levels.values() for key in level))

    def at(self, position: float, whole: bool = False) -> tuple[str | float, dict[str, Any]]:
        """The level at `position` in [0, 1), and the settings that it stands for."""
        if self.levels is not None:
            name = list(self.levels)[int(position * len(self.levels))]
            return name, self.levels[name]
        assert self.setting is not None
        value = self._range().at(position, whole)
        return value, {self.setting: value}

    def extremes(self, whole: bool) -> list[dict[str, Any]]:
        """The settings of every level, or of both ends of the range."""
        if self.levels is not None:
            return list(self.levels.values())
        assert self.setting is not None
        return [{self.setting: end} for end in self._range().ends(whole).values()]


class Nearness(Strict):
    """With which runs it is judged how near a universe is to the paper: not with those that its gain is taken from."""

    method: Literal["standard"]  # the paper has figures for it, and its pre-transfer stage has no weight to choose
    seeds: Seeds


class Universes(Strict):
    """The space and its sample."""

    count: int = Field(ge=1, le=MOST_UNIVERSES)  # the first so many of the sample; more keep the earlier ones
    crossed: int = Field(ge=1)  # post-transfer choices for each pre-transfer choice
    sample: NonNegativeInt  # the seed of the sample's scrambling
    every: dict[str, PositiveInt] = {}  # methods that are run in every n-th universe only
    nearness: Nearness
    factors: dict[str, Factor] = Field(min_length=1)
    only: NonNegativeInt | None = None  # the settings of this universe, for an ordinary campaign of all methods

    @model_validator(mode="after")
    def _consistent(self):
        if self.only is not None and self.only >= self.count:
            raise ValueError(f"only must be one of the universes, 0 to {self.count - 1}, got {self.only}")
        if "budget" in self.factors:
            raise ValueError("a factor must not be called budget: that is what snapshots measure")
        taken: dict[tuple[str, str], dict[str | None, str]] = {}
        for name, factor in self.factors.items():
            for setting in factor.settings:
                if factor.stage == "transfer" and setting in LENGTHS:
                    raise ValueError(
                        f"factor {name}: {setting} is no choice; transfer.snapshots measure shorter stages"
                    )
                before = taken.setdefault((factor.stage, setting), {})  # by method; None: all of them
                for method in factor.methods or (None,):
                    for other in before.values() if method is None else (before.get(method), before.get(None)):
                        if other is not None:
                            raise ValueError(f"factors {other} and {name} both set {factor.stage}.{setting}")
                before |= dict.fromkeys(factor.methods or (None,), name)
        return self

    def numbers(self, method: str) -> Sequence[int]:
        """The universes that a method is run in."""
        return range(0, self.count, self.every.get(method, 1)) if self.only is None else [self.only]

    def positions(self) -> np.ndarray:
        """The sample, in [0, 1): a row for each universe, a column for each factor."""
        columns = {}
        for stage in STAGES:
            names = [name for name, factor in self.factors.items() if factor.stage == stage]
            rows = np.arange(self.count) // (self.crossed if stage == "pretrain" else 1)
            points = low_discrepancy(int(rows[-1]) + 1, len(names), self.sample)[rows]
            columns |= dict(zip(names, points.T, strict=True))
        return np.stack([columns[name] for name in self.factors], axis=1)

    def levels(self) -> list[dict[str, str | float]]:
        """What each universe chose, by factor; whole numbers are not rounded yet."""
        return [
            {name: factor.at(at)[0] for (name, factor), at in zip(self.factors.items(), row, strict=True)}
            for row in self.positions()
        ]

    def of_claim(self) -> list[str]:
        """The factors that play a part in the claim: the weight of Mk-MMD, say, does not."""
        return [name for name, factor in self.factors.items() if {*(factor.methods or ())} & {*CLAIM}]


class _Outline(Outline):
    universes: Universes
    comparisons: list[list[str]] = []


def expand(values: dict, catalogue: Catalogue) -> dict:
    """A configuration's mapping with each method of its grid replaced by one for each universe; else unchanged.

    Of a factor without `methods` those that it applies to are filled in; null takes a factor, or an entry of `every`,
    away. With `universes.only` the methods stay, with the settings of that universe, and `universes` goes. What is
    malformed is left as it is, for the configuration's own check to refuse. Raises LautumError for a factor that no
    method of the grid has, or whose values one of them does not allow.
    """
    design = values.get("universes")
    if not isinstance(design, dict):
        return values
    design = design | {
        key: _without_null(design[key]) for key in ("every", "factors") if isinstance(design.get(key), dict)
    }
    values = values | {"universes": design}
    try:
        outline = _Outline.model_validate(values)
    except ValidationError:
        return values
    universes, grid = outline.universes, outline.grid
    alone = universes.only is not None  # then a campaign need not have every method that the space is about
    if values.get("search"):
        raise LautumError("search and universes are two designs, and a configuration has one of them; remove the other")
    if len(grid.tasks) != 1:
        raise LautumError(f"a campaign over universes has one task, got {', '.join(grid.tasks)}")
    if not alone and [*CLAIM] not in outline.comparisons:
        raise LautumError(f"comparisons of a campaign over universes must hold [{', '.join(CLAIM)}], which it is about")
    named = {
        "universes.every": universes.every,
        "universes.nearness": [universes.nearness.method],
        **{f"universes.factors.{name}.methods": factor.methods or () for name, factor in universes.factors.items()},
    }
    for where, methods in named.items():
        for method in methods:
            require_known(f"method in {where}", method, outline.methods if alone else grid.methods)
    rows, variants = universes.positions(), {}
    used: dict[str, list[str]] = {}  # methods that each factor applies to
    for method in grid.methods:
        require_known("method in grid.methods", method, outline.methods)
        own_seeds = grid.tasks[0] in outline.tasks and outline.tasks[grid.tasks[0]].own(method).more_seeds
        if own_seeds and not alone:
            raise LautumError(
                f"tasks.{grid.tasks[0]}.methods.{method}.more_seeds: universes are compared in grid.seeds, and "
                "nearness is judged in universes.nearness.seeds; remove it, or set it to [] if it is inherited"
            )
        applying = _applying(universes, method, outline.methods[method], catalogue)
        for name in applying:
            used.setdefault(name, []).append(method)
        variants[method] = []
        for number in universes.numbers(method):
            own: dict[str, Any] = {stage: {} for stage in STAGES}
            if method == universes.nearness.method and not alone:
                own["more_seeds"] = universes.nearness.seeds
            for (name, factor), position in zip(universes.factors.items(), rows[number], strict=True):
                if name in applying:
                    source = f"chosen: universe {number}, {name} of {factor.source}"
                    settings = factor.at(position, applying[name])[1].items()
                    own[factor.stage] |= {key: {"value": value, "source": source} for key, value in settings}
            variant = Variant(f"{method}-u{number:02d}", {"universe": number, "arm": method}, own)
            variants[method].append(Variant(method, {}, own) if alone else variant)
    whole = expanded(values, outline, variants)
    if alone:
        return {key: value for key, value in whole.items() if key != "universes"}
    factors = {}
    for name, factor in universes.factors.items():
        if name not in used:
            fields = {
                field
                for method in grid.methods
                for field in outline.methods[method].schemas(catalogue)[factor.stage][1].model_fields
            }
            setting = next(setting for setting in factor.settings if setting not in fields)
            raise LautumError(
                f"universes.factors.{name}: no method of the grid has the setting {setting!r}"
                f"{nearest(setting, sorted(fields))}"
            )
        factors[name] = design["factors"][name] | {"methods": factor.methods or tuple(used[name])}
    return whole | {"universes": design | {"factors": factors}}


def _without_null(values: dict) -> dict:
    return {key: value for key, value in values.items() if value is not None}


def _applying(universes: Universes, method: str, definition: MethodOutline, catalogue: Catalogue) -> dict[str, bool]:
    """The factors that apply to a method, by name, and whether their values are whole numbers."""
    schemas, applying = definition.schemas(catalogue), {}
    for name, factor in universes.factors.items():
        objective, schema = schemas[factor.stage]
        if factor.methods is None and not {*factor.settings} & schema.model_fields.keys():
            continue
        if factor.methods is not None and method not in factor.methods:
            continue
        applying[name] = factor.setting in schema.model_fields and is_whole(schema, str(factor.setting))
        for values in factor.extremes(applying[name]):
            require_allowed(schema, objective, values, f"universes.factors.{name}, method {method}")
    return applying


def low_discrepancy(count: int, dimensions: int, seed: int) -> np.ndarray:
    """The first `count` points of a scrambled Halton sequence in [0, 1)^dimensions, (count, dimensions).

    More points keep the earlier ones, which a Latin hypercube (as a search has) would not. Of few points in many
    dimensions some coordinates are correlated; by how much depends on the scrambling, so a campaign says how its seed
    was chosen. Sobol's sequence did worse: over 1,000 seeds, 16 points in 8 dimensions, the smallest largest
    correlation was 0.60, and 0.31 here. Some are kept, see `lautum.experiment.designs`.
    """
    kept = designs.kept(f"Halton {seed} x {dimensions}")
    return draw(count, dimensions, seed) if kept is None or count > len(kept) else kept[:count]


@cache
def draw(count: int, dimensions: int, seed: int) -> np.ndarray:
    """The points that `low_discrepancy` describes, from SciPy."""
    from scipy.stats import qmc  # half a second

    if dimensions == 0:
        return np.empty((count, 0))
    return qmc.Halton(dimensions, rng=np.random.default_rng(seed)).random(count)
