"""The configuration: read once, checked once, frozen. Snakemake and the command line both go through `load`.

A file may say `extends: other.yaml` and then hold only what differs: mappings are merged, everything else is replaced.
A hyper-parameter is written `{value: 0.01, source: "tuned: ..."}` or as a bare value. The source of a bare value is
"chosen: set in the configuration", or the file that sets it where that one extends another with a value and a source.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, ValidationInfo, model_validator

from lautum.errors import LautumError, require_known
from lautum.experiment import catalogue, config_files
from lautum.experiment import search as searching
from lautum.experiment import universes as multiverse
from lautum.experiment.catalogue import Catalogue
from lautum.experiment.checks import require_consistent, require_one_length
from lautum.experiment.declared import Declared
from lautum.experiment.definitions import Method, Task
from lautum.experiment.fields import Campaign, FilePath, Name, Names, Seeds
from lautum.experiment.search import Search, require_selectable
from lautum.experiment.space import STAGES
from lautum.experiment.universes import Universes
from lautum.objectives.settings import PretrainSettings, TransferSettings
from lautum.schema import Strict, first_complaint, validated

Job = Literal["prepare", "split", "pretrain", "transfer", "evaluate", "aggregate"]  # what a job of the graph does
MOST_CELLS = 100_000


class Folders(Strict):
    """Where files go, relative to the working directory; `~` and `$NAME` are replaced by what they stand for."""

    data: FilePath = "data"  # prepared data sets and downloads; can be shared by several campaigns
    results: FilePath = "results"  # splits, networks, evaluations
    reports: FilePath = "reports"  # tables, figures and records, in a folder named after the campaign
    # Data set files used before any download; the variable LAUTUM_OFFLINE takes precedence.
    offline: FilePath | None = None


class Grid(Strict):
    """What is run: every task x method x label count of the task x seed."""

    tasks: Names
    methods: Names
    seeds: Seeds


class Evaluate(Strict):
    """Which images accuracies are measured on."""

    part: Literal["test", "validation"] = "test"
    validation_images: int = Field(0, ge=0)  # held out for selection, never for reports
    # Taken from the target training set before images are labelled, or ("labelled") from the labelled images: then no
    # trial sees more labels than a run has, though the choice rests on those of all tuning seeds.
    validation_from: Literal["training", "labelled"] = "training"

    @model_validator(mode="after")
    def _consistent(self):
        if (self.part == "validation") != (self.validation_images > 0):
            raise ValueError(
                f"part: {self.part} goes with validation_images {'above 0' if self.part == 'validation' else '0'}, "
                f"got {self.validation_images}"
            )
        return self


class Resources(Strict):
    """What a job of one rule asks a cluster for."""

    minutes: int = Field(ge=1)
    mem_mb: int = Field(ge=1)


class Config(Strict):
    """A campaign: a grid, the definitions it refers to, and where files go."""

    name: Campaign
    about: str = Field("", max_length=1000)  # what a reader must know before any number, on the page and in the list
    folders: Folders = Folders()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_seconds: float = Field(60, ge=0)  # a training job saves its state about this often
    # Of one pre-training, in one job: more cells import torch less often, fewer leave more to run side by side. Not
    # any number, because the job's command line names them and has 128 KiB at most.
    cells_per_job: int = Field(8, ge=1, le=1000)
    # For short training: so many pre-trainings, each with all cells that begin with it, in one job. 0: a pre-training
    # is a job of its own, and the cells that begin with it are others.
    pretrainings_per_job: int = Field(0, ge=0, le=100)
    threads: int = Field(1, ge=1, le=1024)  # CPU threads of a job; part of what makes two runs equal byte for byte
    grid: Grid
    # Paired differences (method, baseline), declared before the results.
    comparisons: tuple[tuple[str, str], ...] = Field((), max_length=1000)
    evaluate: Evaluate = Evaluate(validation_images=0)
    search: Search | None = None  # the campaign is one of trials of hyper-parameters
    universes: Universes | None = None  # the campaign is one over the choices that the paper's main text leaves open
    trials: tuple[FilePath, ...] = ()  # trials.csv of the selections that tuned values come from, shown in the report
    campaigns: tuple[Name, ...] = ()  # names of those that the report lists, in that order
    plugins: tuple[str, ...] = ()  # see `lautum.experiment.plugins`
    datasets: dict[Name, Declared] = Field({}, max_length=1000)  # by path
    methods: dict[Name, Method] = Field(max_length=10_000)
    tasks: dict[Name, Task] = Field(max_length=1000)
    resources: dict[Job, Resources]
    _catalogue: Catalogue = PrivateAttr()

    @model_validator(mode="after")
    def _references(self, info: ValidationInfo):
        self._catalogue = catalogue.of(info)
        for name in self.grid.tasks:
            require_known("task", name, self.tasks)
        for name in (*self.grid.methods, *(name for pair in self.comparisons for name in pair)):
            require_known("method", name, self.methods)
        # The other way round it is the same difference, and twice in Holm's family.
        times = Counter(frozenset(pair) for pair in self.comparisons)
        for pair in self.comparisons:
            if len(set(pair)) < 2 or times[frozenset(pair)] > 1:
                raise ValueError(
                    f"comparisons must be pairs of two different methods, each once and one way round, got {list(pair)}"
                )
        cells = sum(len(self.tasks[task].label_counts) * len(self.seeds(task)) for task in self.grid.tasks)
        cells *= len(self.grid.methods)
        if cells > MOST_CELLS:
            raise ValueError(
                f"the grid has {cells} cells, tasks x methods x label counts x seeds; at most {MOST_CELLS}"
            )
        missing = ", ".join(step for step in get_args(Job) if step not in self.resources)
        if missing:
            raise ValueError(f"resources must name time and memory of every step, missing {missing}")
        require_selectable(self)
        for name, method in self.methods.items():
            if method.trial_of is not None:
                require_known("method in trial_of", method.trial_of, self.methods)
            if self.universes is None and (method.arm is not None or method.universe is not None):
                raise ValueError(f"methods.{name}: arm and universe belong to a campaign with universes; remove them")
        for task_name, task in self.tasks.items():
            if task.looks and task.looks[-1] >= (seeds := len(self.seeds(task_name))):
                raise ValueError(
                    f"tasks.{task_name}.looks must be below the task's number of seeds, {seeds}, after which comes the "
                    f"last look, got {list(task.looks)}"
                )
            for name in task.methods:
                require_known(f"method in tasks.{task_name}.methods", name, self.methods)
        for task in self.grid.tasks:
            for method in self.grid.methods:
                self.require_settings(task, method)
                require_consistent(self, task, method)
        if self.universes:
            require_one_length(self)
        return self

    def require_settings(self, task: str, method: str) -> None:
        """Raise LautumError for settings that a method does not have or allow; of the grid's that is done already."""
        try:
            self.pretrain_settings(task, method)
            self.transfer_settings(task, method)
        except ValidationError as error:
            raise LautumError(f"tasks.{task}, method {method}: {first_complaint(error)}") from None
        except LautumError as error:
            raise LautumError(f"tasks.{task}, method {method}: {error}") from error

    def seeds(self, task: str) -> tuple[int, ...]:
        """The seeds of a task: its own, or else the grid's."""
        return self.tasks[task].seeds or self.grid.seeds

    def network(self, task: str, method: str) -> str:
        """The network that a method trains in a task."""
        return self.tasks[task].own(method).network or self.tasks[task].network

    @property
    def catalogue(self) -> Catalogue:
        """What can be named here."""
        return self._catalogue

    def pretrain_schema(self, method: str) -> type[PretrainSettings]:
        """What pre-transfer settings a method has."""
        return self._catalogue.objectives[self.methods[method].pretrain].Settings

    def pretrain_settings(self, task: str, method: str) -> PretrainSettings:
        """The pre-transfer settings of a method in a task: the task's, overridden by the method's own."""
        schema, own = self.pretrain_schema(method), self.tasks[task].own(method).pretrain
        return validated(schema, _given(schema, self.tasks[task].pretrain, own))

    def transfer_schema(self, method: str) -> type[TransferSettings]:
        """What post-transfer settings a method has."""
        return self._catalogue.objectives[self.methods[method].transfer].Settings

    def transfer_settings(self, task: str, method: str) -> TransferSettings:
        """The post-transfer settings of a method in a task."""
        schema, own = self.transfer_schema(method), self.tasks[task].own(method).transfer
        return validated(schema, _given(schema, self.tasks[task].transfer, own))


def load(path: Path | str) -> Config:
    """Read and check a configuration file.

    Raises LautumError naming the file, the key, the value and what is allowed.
    """
    values, _, known = _read(Path(path))
    config_files.require_filled_in(values.get("tasks"), Path(path))
    try:
        return Config.model_validate(values, context={"catalogue": known})
    except ValidationError as error:
        raise LautumError(f"{path}: {first_complaint(error)}") from None


def _read(path: Path) -> tuple[Any, dict[tuple, str], Catalogue]:
    """The values of a configuration, their sources, and what it can name."""
    values = config_files.read(path)
    try:
        return _expanded(values)
    except LautumError as error:
        raise LautumError(f"{path}: {error}") from None


def _expanded(values: dict) -> tuple[Any, dict[tuple, str], Catalogue]:
    known = catalogue.read(values.get("plugins", ()), values.get("datasets", {}))
    plain, sources = config_files.split_sources(multiverse.expand(searching.expand(values, known), known))
    return plain, sources, known


def unheard(path: Path | str) -> list[str]:
    """What a file says in vain, in words: of a configuration that `load` accepts, for a warning. It may be meant so.

    Tasks, methods and settings as `config_files.unheard`; settings of a task that no method of the grid has; and those
    that the campaign's search or universes draw for whatever would have them.
    """
    values = config_files.read(path)
    designs = [name for name in ("search", "universes") if values.get(name)]
    said, drawn = config_files.own_settings(path), []
    plain, _, known = _expanded(values)
    had = {
        (stage, setting)
        for method in plain["grid"]["methods"]
        for stage in STAGES
        for setting in known.objectives[plain["methods"][method][stage]].Settings.model_fields
    }
    nobodys = [
        keys
        for keys in said
        if len(keys) == len(("tasks", "<task>", "<stage>", "<setting>"))
        and keys[1] in plain["grid"]["tasks"]
        and keys[2:] not in had
    ]
    if designs:
        for keys in said:
            values = _with(values, keys, _Said(keys))
        plain, _, known = _expanded({key: value for key, value in values.items() if key not in designs})
        reached = _reached(plain, known)
        plain, _, known = _expanded(values)
        reached -= _reached(plain, known)
        drawn = [keys for keys in said if keys in reached]
    lines = [f"{path}: {'.'.join(keys)} is not used; no method of the grid has it" for keys in nobodys]
    lines += [f"{path}: {'.'.join(keys)} is not used; `{designs[0]}` draws it, for all methods" for keys in drawn]
    return config_files.unheard(path, drawn) + lines


@dataclass(frozen=True)
class _Said:
    """Stands for the value at these keys of a configuration, to see whom it reaches."""

    keys: tuple[str, ...]


def _with(tree: dict, keys: tuple[str, ...], value: object) -> dict:
    return tree | {keys[0]: _with(tree[keys[0]], keys[1:], value) if keys[1:] else value}


def _reached(plain: Any, known: Catalogue) -> set[tuple[str, ...]]:
    """The keys of those that stand for a value and are among the settings of a method of the grid."""
    found = set()
    for task, method in itertools.product(plain["grid"]["tasks"], plain["grid"]["methods"]):
        shared = plain["tasks"][task]
        own = shared.get("methods", {}).get(method, {})
        for stage in STAGES:
            schema = known.objectives[plain["methods"][method][stage]].Settings
            given = _given(schema, shared.get(stage, {}), own.get(stage, {}))
            found |= {value.keys for value in given.values() if isinstance(value, _Said)}
    return found


def hyper_parameters(path: Path | str) -> list[dict[str, Any]]:
    """Every hyper-parameter of the grid with its value, unit, meaning and source: the report's table.

    One dictionary for each (task, method, stage, name).
    """
    config = load(path)
    (_, sources, _), rows = _read(Path(path)), []
    for task in config.grid.tasks:
        for name in config.grid.methods:
            for stage, settings in (
                ("pretrain", config.pretrain_settings(task, name)),
                ("transfer", config.transfer_settings(task, name)),
            ):
                rows += _hyper_parameters(settings, task, name, stage, getattr(config.methods[name], stage), sources)
    return rows


def _hyper_parameters(settings: Strict, task: str, method: str, stage: str, objective: str, sources: dict) -> list:
    rows = []
    for name, field in type(settings).model_fields.items():
        declared = cast(dict[str, str], field.json_schema_extra)
        own, shared = ("tasks", task, "methods", method, stage, name), ("tasks", task, stage, name)
        said = sources.get(own) or sources.get(shared) if name in settings.model_fields_set else None
        rows.append(
            {
                "task": task,
                "method": method,
                "stage": stage,
                "objective": objective,
                "name": name,
                "value": getattr(settings, name),
                "unit": declared["unit"],
                "source": said or declared["source"],
                "description": field.description,
            }
        )
    return rows


def _given(schema: type[Strict], shared: dict, own: dict) -> dict:
    """Those of a task's settings that this objective of a stage has, overridden by a method's own.

    Null takes away what would be inherited, so that the default holds, unless it is a value of the setting.
    """
    fields = schema.model_fields
    values = {key: value for key, value in shared.items() if key in fields} | own
    away = {key for key, value in values.items() if value is None and key in fields and not _takes_null(schema, key)}
    return {key: value for key, value in values.items() if key not in away}


@cache
def _takes_null(schema: type[Strict], name: str) -> bool:
    """Whether null is a value of a setting."""
    try:
        TypeAdapter(cast(Any, schema.model_fields[name].annotation)).validate_python(None, strict=True)
    except ValidationError:
        return False
    return True
