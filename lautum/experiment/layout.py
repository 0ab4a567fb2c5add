"""The grid's cells and the files that hold them.

A path names what is in it and ends in a key, the hash of every setting (and of the code) that the result depends on.
Changed settings lead to other paths: they rerun exactly what they touch, old results are never mixed with new ones,
and changing back costs nothing.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lautum.experiment.config import Config
from lautum.experiment.digest import code_digest
from lautum.objectives.settings import keyed

TRAINING = "lautum.pipeline.train"  # hands an objective its data


@dataclass(frozen=True)
class Cell:
    """One run of one method: the unit of the tables."""

    task: str
    method: str
    labels: int
    seed: int


@dataclass(frozen=True)
class Batch:
    """What one job makes: cells that begin with one pre-training, or several pre-trainings with their cells."""

    receipt: Path  # written when all cells are finished; named after the first one's pre-training and all cells' keys
    key: str
    cells: tuple[Cell, ...]


class Layout:
    """Keys and paths of a configuration's files. No file of a campaign is read or written."""

    def __init__(self, config: Config):
        self.config = config
        self.results = Path(config.folders.results)
        self.report = Path(config.folders.reports) / config.name
        self._keys: dict[tuple, str] = {}
        self._folders: dict[tuple, Path] = {}

    def cells(self) -> list[Cell]:
        """All cells of the grid, in the configuration's order."""
        grid = self.config.grid
        return [
            Cell(task, method, labels, seed)
            for task in grid.tasks
            for method in grid.methods
            for labels in self.config.tasks[task].label_counts
            for seed in (*self.config.seeds(task), *self.config.tasks[task].own(method).more_seeds)
        ]

    def prepared(self, dataset: str, part: str) -> Path:
        """A prepared data set; `part` is "train" or "test"."""
        return Path(self.config.folders.data) / self.config.catalogue.datasets[dataset].prepared(dataset, part)

    def receipt_of_data(self, dataset: str) -> Path:
        """By which the graph knows that both are there, and what they hold."""
        return self.results / "prepared" / self.prepared(dataset, "train").name.removesuffix("-train.safetensors")

    def split(self, task: str, labels: int, seed: int) -> Path:
        """The labelled subset of a task."""
        folder = self._folder(
            ("split", task, labels),
            lambda: self.results / "splits" / task / f"n{labels}" / self.split_key(task, labels),
        )
        return folder / f"seed{seed}.json"

    def split_key(self, task: str, labels: int) -> str:
        """Key of what a task's labelled subsets depend on."""
        return self._key(("split", task, labels), lambda: self._split_axes(task, labels))

    def shown_split(self, task: str) -> tuple[int, int]:
        """Label count and seed of the split whose labelled images a report shows as examples."""
        return min(self.config.tasks[task].label_counts), self.config.seeds(task)[0]

    def pretrained_scope(self, method: str, labels: int) -> str:
        """`shared` when the objective never sees the target, else the label count that defines the unlabelled part."""
        return f"n{labels}" if self.config.pretrain_schema(method).needs_target else "shared"

    def pretrain_key(self, task: str, method: str, labels: int) -> str:
        """Key of the pre-transfer stage: equal for all methods and label counts that can share its result."""
        scope = self.pretrained_scope(method, labels)
        return self._key(("pretrain", task, method, scope), lambda: self._pretrain_axes(task, method, labels))

    def transfer_key(self, task: str, method: str, labels: int) -> str:
        """Key of the post-transfer stage; it covers the pre-transfer stage too."""
        return self._key(("transfer", task, method, labels), lambda: self._transfer_axes(task, method, labels))

    def record_key(self, task: str, method: str, labels: int) -> str:
        """Key of the evaluation; it covers both stages too."""
        return self._key(
            ("record", task, method, labels),
            lambda: {
                "transfer": self._transfer_axes(task, method, labels),
                "code": code_digest("lautum.pipeline.evaluate", *self._code_of(None, task, method)),
            },
        )

    def settings_key(self, task: str, method: str, labels: int) -> str:
        """As `transfer_key`, of the settings alone: ties committed records to a configuration while code moves on."""
        return self._key(("settings", task, method, labels), lambda: self.settings(task, method, labels))

    def settings(self, task: str, method: str, labels: int) -> dict:
        """What `settings_key` is the hash of."""
        return _without_code(self._transfer_axes(task, method, labels))

    def pretrained(self, task: str, method: str, labels: int, seed: int) -> Path:
        """The network after the pre-transfer stage."""
        return self._of_network("pretrained", task, method, labels) / f"seed{seed}.safetensors"

    def receipt(self, network: Path) -> Path:
        """By which the graph knows that a pre-training is finished."""
        return (
            self.results / "finished-pretrain" / network.relative_to(self.results / "pretrained").with_suffix(".json")
        )

    def transferred(self, cell: Cell) -> Path:
        """The network after the post-transfer stage."""
        return self._of_cell("transferred", cell, self.transfer_key) / f"seed{cell.seed}.safetensors"

    def snapshots(self, cell: Cell) -> Path:
        """The weights after fewer post-transfer steps, which are kept until they are evaluated."""
        network = self.transferred(cell)
        return network.with_name(f"{network.stem}-snapshots.safetensors")

    def record(self, cell: Cell) -> Path:
        """The evaluation record of a cell; its predictions lie beside it."""
        return self._of_cell(f"evaluated-{self.config.evaluate.part}", cell, self.record_key) / f"seed{cell.seed}.json"

    def batches(self, cells: Iterable[Cell]) -> list[Batch]:
        """The cells in their order by the pre-training that they begin with, as many as one job has.

        With `pretrainings_per_job`, that many pre-trainings of a task with all their cells; else `cells_per_job` cells.
        """
        by_network: dict[Path, list[Cell]] = {}
        for cell in cells:
            by_network.setdefault(self.pretrained(cell.task, cell.method, cell.labels, cell.seed), []).append(cell)
        size = self.config.pretrainings_per_job
        if size:
            tasks: dict[str, list[list[Cell]]] = {}
            for some in by_network.values():
                tasks.setdefault(some[0].task, []).append(some)
            return [
                self.batch([*chain.from_iterable(networks[start : start + size])])
                for networks in tasks.values()
                for start in range(0, len(networks), size)
            ]
        size = self.config.cells_per_job
        return [
            self.batch(some[start : start + size])
            for some in by_network.values()
            for start in range(0, len(some), size)
        ]

    def batch(self, cells: Sequence[Cell]) -> Batch:
        """Cells of one task, to be finished by one job."""
        first = cells[0]
        keys = [
            [cell.method, cell.labels, self.record_key(cell.task, cell.method, cell.labels)]
            + ([cell.seed] if cell.seed != first.seed else [])
            for cell in cells
        ]
        key = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:12]
        folder = self._of_network(f"finished-{self.config.evaluate.part}", first.task, first.method, first.labels)
        return Batch(folder / f"seed{first.seed}-{key}.json", key, tuple(cells))

    def networks(self, cells: Iterable[Cell]) -> dict[Path, Cell]:
        """The networks that some cells begin with, each with the first cell that does."""
        found: dict[Path, Cell] = {}
        for cell in cells:
            found.setdefault(self.pretrained(cell.task, cell.method, cell.labels, cell.seed), cell)
        return found

    def checkpoint(self, path: Path) -> Path:
        """Where the state of an unfinished stage is kept, given the stage's result."""
        return self.results / "checkpoints" / path.relative_to(self.results)

    def _of_network(self, stage: str, task: str, method: str, labels: int) -> Path:
        """The folder of what belongs to a pre-training."""

        def folder() -> Path:
            objective, scope = self.config.methods[method].pretrain, self.pretrained_scope(method, labels)
            return self.results / stage / task / objective / scope / self.pretrain_key(task, method, labels)

        return self._folder((stage, task, method, labels), folder)

    def _of_cell(self, stage: str, cell: Cell, key: Callable[[str, str, int], str]) -> Path:
        """The folder of what belongs to the cells of all seeds, which ends in their `key`."""
        axes = cell.task, cell.method, cell.labels
        return self._folder(
            (stage, *axes), lambda: self.results / stage / cell.task / cell.method / f"n{cell.labels}" / key(*axes)
        )

    def _folder(self, name: tuple, folder: Callable[[], Path]) -> Path:
        """A folder by `name`; kept as a key is."""
        if name not in self._folders:
            self._folders[name] = folder()
        return self._folders[name]

    def _split_axes(self, task: str, labels: int) -> dict:
        evaluate = self.config.evaluate
        axes = {
            "target": self.config.tasks[task].target,
            "classes": self.config.tasks[task].classes,
            "labels": labels,
            "validation_images": evaluate.validation_images,
            "code": code_digest("lautum.pipeline.split"),
        }
        axes |= self._data_axes("target", self.config.tasks[task].target)
        return axes | ({"validation_from": "labelled"} if evaluate.validation_from == "labelled" else {})

    def _data_axes(self, role: str, dataset: str) -> dict:
        """What tells a data set that is not built in from another one of its name."""
        definition = self.config.catalogue.datasets[dataset]
        known = {name: value for name in ("sha256", "code") if (value := getattr(definition, name))}
        return {f"{role}_content": known} if known else {}

    def _code_of(self, objective: str | None, task: str, method: str) -> list[str]:
        return self.config.catalogue.code_of(objective, self.config.network(task, method))

    def _pretrain_axes(self, task: str, method: str, labels: int) -> dict:
        definition, objective = self.config.tasks[task], self.config.methods[method].pretrain
        axes = {
            "source": definition.source,
            "network": self.config.network(task, method),
            "precision": definition.precision,
            "augmentation": definition.augmentation,
            "objective": objective,
            "settings": keyed(self.config.pretrain_settings(task, method)),
            "threads": self.config.threads,
            "code": code_digest(*self._code_of(objective, task, method), TRAINING),
        }
        axes |= self._data_axes("source", definition.source)
        return axes | (
            {"split": self._split_axes(task, labels)} if self.config.pretrain_schema(method).needs_target else {}
        )

    def _transfer_axes(self, task: str, method: str, labels: int) -> dict:
        objective = self.config.methods[method].transfer
        return {
            "pretrain": self._pretrain_axes(task, method, labels),
            "split": self._split_axes(task, labels),
            "objective": objective,
            "settings": keyed(self.config.transfer_settings(task, method)),
            "code": code_digest(*self._code_of(objective, task, method), TRAINING),
        }

    def _key(self, name: tuple, axes: Callable[[], dict]) -> str:
        """The hash of `axes`; the grid asks for the same one once per seed and rule, so it is kept by `name`."""
        if name not in self._keys:
            self._keys[name] = key_of(axes())
        return self._keys[name]


def key_of(axes: dict) -> str:
    """The hash that stands for settings in paths and records."""
    return hashlib.sha256(json.dumps(axes, sort_keys=True).encode()).hexdigest()[:12]


def _without_code(axes: dict) -> dict:
    return {
        name: _without_code(value) if isinstance(value, dict) else value
        for name, value in axes.items()
        if name != "code"
    }
