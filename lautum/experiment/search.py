"""A declared search for hyper-parameters: its space, the trials drawn from it, and who goes on to the next rung.

A configuration with `search` is one of trials. Every method of its grid is replaced by `trials` methods of its own,
`<method>-t00`, `<method>-t01`, ..., whose values are the points of a quasi-random design in the method's space: the
same number for every method and task, fixed before anything is run. Successive halving (Jamieson & Talwalkar 2016) with
seeds as the resource: after `rungs[0]` seeds the best `trials * rungs[0] / rungs[1]` trials of each method go on to
`rungs[1]` seeds, and so on; the same rule for all.
"""

from functools import cache

import numpy as np
from pydantic import Field, ValidationError, model_validator

from lautum.errors import LautumError, listed, nearest, require_known
from lautum.experiment import designs
from lautum.experiment.catalogue import Catalogue
from lautum.experiment.space import MethodOutline, Outline, Range, Variant, expanded, is_whole, require_allowed
from lautum.schema import Strict

MOST_TRIALS = 1000  # of all methods together
DESIGN_SEED = 20191105  # fixes the quasi-random points; any number would do


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
            raise ValueError(f"evaluate.part: validation needs a search, or trial_of for {listed(plain)}")
        for task in grid.tasks:
            for name in grid.methods:
                if config.tasks[task].own(name).more_seeds:
                    said = config.methods[name].trial_of if config.search else name
                    raise ValueError(
                        f"tasks.{task}.methods.{said}.more_seeds: a selection is made in the task's seeds; remove it, "
                        "or set it to [] if it is inherited"
                    )
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


class _Outline(Outline):
    search: Search


def expand(values: dict, catalogue: Catalogue) -> dict:
    """A configuration's mapping with the methods of its grid replaced by their trials; unchanged without `search`.

    What is malformed is left as it is, for the configuration's own check to refuse. Raises LautumError for a method
    without a space, a hyper-parameter that the method does not have, or bounds outside what it allows.
    """
    try:
        outline = _Outline.model_validate(values)
    except ValidationError:
        return values
    search, variants = outline.search, {}
    if (trials := search.trials * len(outline.grid.methods)) > MOST_TRIALS:
        raise LautumError(f"search.trials of all methods together are {trials}; at most {MOST_TRIALS}")
    for method in outline.grid.methods:
        require_known("method in grid.methods", method, outline.methods)
        if method not in search.space:
            raise LautumError(f"search.space has no entry for method {method!r}{nearest(method, search.space)}")
        variants[method] = [
            Variant(f"{method}-t{number:02d}", {"trial_of": method}, settings)
            for number, settings in enumerate(_trials(search, method, outline.methods[method], catalogue))
        ]
    return expanded(values, outline, variants)


def _trials(search: Search, method: str, definition: MethodOutline, catalogue: Catalogue) -> list[dict[str, dict]]:
    """The settings of each trial of a method, {stage: {name: {value, source}}}."""
    fields: dict[tuple[str, str], tuple[Range, bool]] = {}
    for stage, (objective, schema) in definition.schemas(catalogue).items():
        for name, allowed in getattr(search.space[method], stage).items():
            whole = name in schema.model_fields and is_whole(schema, name)
            for end, value in allowed.ends(whole).items():
                require_allowed(schema, objective, {name: value}, f"search.space.{method}.{stage}.{name}.{end}")
            fields[stage, name] = allowed, whole
    trials = []
    for number, point in enumerate(quasi_random(search.trials, len(fields))):
        settings: dict[str, dict] = {"pretrain": {}, "transfer": {}}
        for ((stage, name), (allowed, whole)), position in zip(fields.items(), point, strict=True):
            value = allowed.at(position, whole)
            settings[stage][name] = {"value": value, "source": f"chosen: trial {number} of {search.trials}"}
        trials.append(settings)
    return trials


def quasi_random(count: int, dimensions: int) -> np.ndarray:
    """`count` points in [0, 1)^dimensions, (count, dimensions): a Latin hypercube of low centred discrepancy.

    Every coordinate falls once into each of `count` equal intervals. With as few points as a search has, Sobol and
    Halton sequences leave some pairs of coordinates strongly correlated (16 points in 6 dimensions: up to 0.8 and 0.5
    against 0.2 here), and their hyper-parameters could not be told apart.

    Those of 16 points are kept, see `lautum.experiment.designs`.
    """
    kept = designs.kept(f"{count} x {dimensions}")
    return draw(count, dimensions) if kept is None else kept


@cache
def draw(count: int, dimensions: int) -> np.ndarray:
    """The design that `quasi_random` describes, from SciPy."""
    from scipy.stats import qmc  # half a second

    if dimensions == 0:
        return np.empty((count, 0))
    design = qmc.LatinHypercube(dimensions, optimization="random-cd", rng=np.random.default_rng(DESIGN_SEED))
    return design.random(count)
