"""The jobs of the graph that lead to a campaign's cells: what each makes, and where its log is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lautum.experiment.fields import STUDIES
from lautum.experiment.layout import Cell, Layout
from lautum.results import selection


@dataclass(frozen=True)
class Stage:
    """A training stage that some cells need."""

    network: Path  # that it ends with
    name: str  # as in the log
    kinds: tuple  # of stages that cost about as much, the most alike first


@dataclass(frozen=True)
class Job:
    """What a job of the graph makes."""

    step: str  # its rule
    result: Path  # what it says last
    log: Path
    stages: list[Stage]
    cells: tuple[Cell, ...]  # that wait for it


def jobs(layout: Layout) -> Iterator[Job]:
    """The jobs of the graph that lead to cells: of a search, those of the rungs that are known."""
    seen = set()
    for some in _rungs(layout):
        beginning: dict[Path, list[Cell]] = {}
        for cell in some:
            network = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
            beginning.setdefault(network, []).append(cell)
        new = {network: _pretraining(layout, cells[0]) for network, cells in beginning.items() if network not in seen}
        seen.update(beginning)
        if not layout.config.pretrainings_per_job:
            for network, stage in new.items():
                cells = tuple(beginning[network])
                yield Job("pretrain", network, _log(layout, "pretrain", network), [stage], cells)
            new = {}
        for batch in layout.batches(some):
            networks = [layout.pretrained(cell.task, cell.method, cell.labels, cell.seed) for cell in batch.cells]
            stages = [new[network] for network in dict.fromkeys(networks) if network in new]
            stages += [transfer_stage(layout, cell) for cell in batch.cells]
            yield Job("cells", batch.receipt, _log(layout, "cells", batch.receipt), stages, batch.cells)


def inputs(layout: Layout, cells: list[Cell]) -> dict[tuple[str, Path, Path], list[Cell]]:
    """What is made before training: title, result and log, with the cells that need it."""
    found: dict[tuple[str, Path, Path], list[Cell]] = {}
    for cell in cells:
        task, split = layout.config.tasks[cell.task], layout.split(cell.task, cell.labels, cell.seed)
        for name in (task.source, task.target):
            prepared = layout.receipt_of_data(name)
            log = layout.results / "logs/prepare" / f"{prepared.name}.log"
            found.setdefault((f"data set {name}", prepared, log), []).append(cell)
        title = f"labelled images of {cell.task} n{cell.labels} seed {cell.seed}"
        found.setdefault((title, split, _log(layout, "split", split)), []).append(cell)
    return found


def aggregations(layout: Layout) -> list[tuple[str, Path, Path]]:
    """What is made of finished cells, and the studies, which need none: title, what stands for the result, and log."""
    name, logs = layout.config.name, layout.results / "logs"
    page = "trials" if layout.config.evaluate.part == "validation" else "report"
    return [
        *(
            (f"ranking of rung {rung}", selection.rung_file(layout, rung), logs / "rung" / f"{name}-{rung}.log")
            for rung in range(1, len(selection.rungs(layout)))
        ),
        ("collected results", layout.results / "collected" / name, logs / "collect" / f"{name}.log"),
        ("page", layout.report / "index.html", logs / page / f"{name}.log"),
        *(
            (f"study {study}", layout.results / "studies" / study, logs / "studies" / f"{study}.log")
            for study in STUDIES
        ),
    ]


def rungs_to_come(layout: Layout) -> int:
    """How many rungs of a search are not known yet, because one before them is not ranked."""
    ranked = [selection.rung_file(layout, rung).exists() for rung in range(1, len(selection.rungs(layout)))]
    return len(ranked) - [*ranked, False].index(False)


def _rungs(layout: Layout) -> list[list[Cell]]:
    if layout.config.search is None:
        return [layout.cells()]
    known = len(selection.rungs(layout)) - rungs_to_come(layout)
    return [selection.new_cells(layout, rung) for rung in range(1, known + 1)]


def _log(layout: Layout, step: str, result: Path) -> Path:
    """Where the graph puts a job's output."""
    below = result.relative_to(layout.results).parts[1:]
    return (layout.results / "logs" / step).joinpath(*below).with_suffix(".log")


def _pretraining(layout: Layout, cell: Cell) -> Stage:
    network = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    objective, scope = layout.config.methods[cell.method].pretrain, layout.pretrained_scope(cell.method, cell.labels)
    kinds = (network.parent, ("pretrain", cell.task, objective), ("pretrain", cell.task), "pretrain")
    return Stage(network, f"{cell.task} {objective} {scope} seed {cell.seed}", kinds)


def transfer_stage(layout: Layout, cell: Cell) -> Stage:
    network = layout.transferred(cell)
    objective = layout.config.methods[cell.method].transfer
    kinds = (network.parent, ("transfer", cell.task, objective), ("transfer", cell.task), "transfer")
    return Stage(network, f"{cell.task} {cell.method} n{cell.labels} seed {cell.seed}", kinds)
