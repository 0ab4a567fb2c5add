"""Choosing hyper-parameters: trials are ordinary methods of a grid that is scored on held-out training images.

A configuration for selection has `evaluate: {part: validation, ...}` and either a declared `search` or methods with
`trial_of`. Trials are compared by their mean accuracy over the label counts and seeds of a rung (see
`lautum.experiment.search`); the best of the last rung wins, of equal ones the first. The winners' file is what a main
grid `extends`.
"""

import hashlib
import json
from pathlib import Path

import pandas as pd
import yaml

from lautum.errors import Damaged, LautumError
from lautum.experiment import config
from lautum.experiment.layout import Cell, Layout
from lautum.files import write_text
from lautum.pipeline import run_record
from lautum.results import records, sums
from lautum.results.collected import require_comparable
from lautum.results.csv_files import read_csv

COLUMNS = "task method trial settings accuracy sd runs first_rung_accuracy n_images rung selected".split()


def rungs(layout: Layout) -> tuple[int, ...]:
    """Numbers of seeds after which trials are compared."""
    search = layout.config.search
    return search.rungs if search else (max(len(layout.config.seeds(task)) for task in layout.config.grid.tasks),)


def rung_file(layout: Layout, rung: int | str) -> Path:
    """Where `write_rung` writes: a path with the hash of all trials' settings. `rung` may be a placeholder."""
    grid = layout.config.grid
    trials = {
        f"{task} {trial} {labels}": layout.settings_key(task, trial, labels)
        for task in grid.tasks
        for trial in grid.methods
        for labels in layout.config.tasks[task].label_counts
    }
    seeds = {task: layout.config.seeds(task) for task in grid.tasks}
    text = json.dumps([trials, seeds, rungs(layout)], sort_keys=True)
    return layout.report / f"rung{rung}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.csv"


def rung_cells(layout: Layout, rung: int) -> list[Cell]:
    """The runs that rung 1, 2, ... needs, those of earlier rungs included: trials that are left x the first seeds.

    Raises LautumError when the rung before has not been written, Damaged when its file is not its ranking.
    """
    seeds = {task: set(layout.config.seeds(task)[: rungs(layout)[rung - 1]]) for task in layout.config.grid.tasks}
    left = read_rung(layout, rung - 1) if rung > 1 else None
    return [
        cell
        for cell in layout.cells()
        if cell.seed in seeds[cell.task] and (left is None or (cell.task, cell.method) in left)
    ]


def new_cells(layout: Layout, rung: int) -> list[Cell]:
    """The runs that rung 1, 2, ... has more than the one before. Raises as `rung_cells`."""
    earlier = set(rung_cells(layout, rung - 1)) if rung > 1 else set()
    return [cell for cell in rung_cells(layout, rung) if cell not in earlier]


def read_rung(layout: Layout, rung: int) -> set[tuple[str, str]]:
    """The trials (task, trial) that go on after rung 1, 2, ..., as `write_rung` wrote. Raises as `rung_cells`."""
    path = rung_file(layout, rung)
    if not path.exists():
        raise LautumError(f"{path} does not exist; run `lautum rung {rung}` first")
    compared = {(cell.task, cell.method) for cell in rung_cells(layout, rung)}
    try:
        ranking = read_csv(path, ["task", "method", "trial", "kept"], ["accuracy"], "")
        whole = set(zip(ranking["task"], ranking["trial"], strict=True)) == compared and len(ranking) == len(compared)
    except LautumError:
        whole = False
    if not whole or ranking["kept"].dtype != bool:
        raise Damaged(path, f"{path} is not the ranking of rung {rung}; run `lautum rung {rung}` again")
    return set(ranking.loc[ranking["kept"], ["task", "trial"]].itertuples(index=False, name=None))


def cells(layout: Layout) -> list[Cell]:
    """All runs of a campaign: of a selection, those of every rung; else the whole grid."""
    if layout.config.search is None:
        return layout.cells()
    wanted = {cell for rung in range(len(rungs(layout))) for cell in rung_cells(layout, rung + 1)}
    return [cell for cell in layout.cells() if cell in wanted]


def write_rung(path: Path | str, rung: int) -> Path:
    """Rank the trials of a rung, not the last, of the configuration file `path`; write and return `rung_file`.

    Raises LautumError when there is no such rung, or a run is missing (the ranking would be unfair).
    """
    layout = Layout(config.load(path))
    _require_trials(layout, path)
    if not 1 <= rung < len(rungs(layout)):
        raise LautumError(f"{path} has {len(rungs(layout)) - 1} rungs whose best trials go on, there is none {rung}")
    runs, lacking = [], 0
    for cell in rung_cells(layout, rung):
        if layout.record(cell).exists():
            runs.append(run_record.read(layout, cell)[0].row())
        else:
            lacking += 1
    if lacking:
        raise LautumError(f"{lacking} of {lacking + len(runs)} runs of the trials are missing; finish the rung first")
    found = pd.DataFrame(runs)
    require_comparable(found, _one_kind(layout))
    table = _means(layout, found)
    assert layout.config.search is not None, "more than one rung comes from a search"
    table["kept"] = _best(table, layout.config.search.kept(rung))
    output = rung_file(layout, rung)
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    with sums.changing(layout.report) as write:
        write({output.name: text.encode()})
    return output


def write_trials(path: Path | str) -> tuple[Path, Path]:
    """From the collected trials of the configuration file `path`: a table of all of them, and the winners.

    Writes and returns reports/<name>/trials.csv, one row for each trial with its accuracy over all its runs and over
    those that every trial had (`first_rung_accuracy`), and winners.yaml, a file that a configuration can `extend`.
    Raises LautumError when the configuration is not one of trials, or a run is missing (the ranking would be unfair).
    """
    layout = Layout(config.load(path))
    _require_trials(layout, path)
    wanted = cells(layout)
    runs = records.read(layout, wanted).runs
    if len(runs) < len(wanted):
        lacking = len(wanted) - len(runs)
        raise LautumError(f"{lacking} of {len(wanted)} runs of the trials are missing; finish the grid first")
    require_comparable(runs, _one_kind(layout))
    table = _means(layout, runs)
    compared = {(cell.task, cell.method, cell.labels, cell.seed) for cell in rung_cells(layout, 1)}
    axes = zip(runs["task"], runs["method"], runs["labels"], runs["seed"], strict=True)
    first = _means(layout, runs[[run in compared for run in axes]]).rename(columns={"accuracy": "first_rung_accuracy"})
    table = table.merge(first[["task", "trial", "first_rung_accuracy"]], on=["task", "trial"], validate="one_to_one")
    counts = [len(layout.config.tasks[task].label_counts) for task in table["task"]]
    seeds = [runs // count for runs, count in zip(table["runs"], counts, strict=True)]
    table["rung"] = [rungs(layout).index(n) + 1 if layout.config.search else 1 for n in seeds]
    finalists = table[table["rung"] == len(rungs(layout))]
    table["selected"] = _best(finalists, 1).reindex(table.index, fill_value=False)
    table["settings"] = [_text(settings(layout.config, row.task, row.trial)) for row in table.itertuples()]
    table["n_images"] = layout.config.evaluate.validation_images
    output, winners = layout.report / "trials.csv", layout.report / "winners.yaml"
    text = table[COLUMNS].to_csv(index=False, lineterminator="\n", float_format="%.6g")
    with sums.changing(layout.report) as write:
        write({output.name: text.encode()})
        write_text(winners, _winners(layout, table, path, output))
    return output, winners


def _one_kind(layout: Layout) -> str:
    return f"remove the records of one kind below {layout.results} and run those again"


def read_trials(path: Path | str) -> pd.DataFrame:
    """What `write_trials` wrote. Raises LautumError when it is missing or something else."""
    remedy = "run `lautum trials` with the selection it comes from, or drop it from `trials` in the configuration"
    table = read_csv(Path(path), COLUMNS, ["accuracy", "runs", "first_rung_accuracy", "n_images", "rung"], remedy)
    if table["selected"].dtype != bool:
        raise LautumError(f"{path} holds other things than True and False in column selected; {remedy}")
    return table.fillna({"settings": ""})


def settings(loaded: config.Config, task: str, trial: str) -> dict[str, dict[str, float]]:
    """The values that tell a trial from others, {stage: {hyper-parameter: value}}."""
    own = loaded.tasks[task].own(trial)
    stages = {"pretrain": own.pretrain, "transfer": own.transfer}
    if loaded.search is None:
        return stages
    space = loaded.search.space[loaded.methods[trial].trial_of]
    return {stage: {name: stages[stage][name] for name in getattr(space, stage)} for stage in stages}


def _text(values: dict[str, dict]) -> str:
    return ", ".join(f"{stage}.{name} {value}" for stage, named in values.items() for name, value in named.items())


def _require_trials(layout: Layout, path: Path | str) -> None:
    if layout.config.evaluate.part != "validation":
        raise LautumError(
            f"{path} selects no hyper-parameters: that needs `evaluate: {{part: validation, ...}}` and `search`, or "
            "`trial_of` for each method"
        )


def _means(layout: Layout, runs: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy, standard deviation and number of runs of each trial."""
    table = runs.groupby(["task", "method"], sort=False)["accuracy"].agg(accuracy="mean", sd="std", runs="count")
    table = table.reset_index().rename(columns={"method": "trial"})
    table.insert(1, "method", [layout.config.methods[trial].trial_of for trial in table["trial"]])
    return table


def _best(table: pd.DataFrame, count: int) -> pd.Series:
    """Which trials are among the best `count` of their task and method; of equal ones the first."""
    # Unrounded, the means of equally many right predictions can differ in the last bit.
    rounded = table.assign(accuracy=table["accuracy"].round(12))
    ranks = pd.Series(rounded.groupby(["task", "method"])["accuracy"].rank(method="first", ascending=False))
    return ranks <= count


def _winners(layout: Layout, table: pd.DataFrame, path: Path | str, output: Path) -> str:
    tasks: dict = {}
    for row in table[table["selected"]].itertuples():
        count = int(((table["task"] == row.task) & (table["method"] == row.method)).sum())
        chosen = {
            stage: {
                name: {"value": value, "source": f"tuned: best of {count} trials{_bounds(layout, row, stage, name)}"}
                for name, value in named.items()
            }
            for stage, named in settings(layout.config, row.task, row.trial).items()
        }
        for stage, own in chosen.items():  # what the search takes away, its winner does without too
            given = getattr(layout.config.tasks[row.task].own(row.trial), stage)
            own |= {name: None for name, value in given.items() if value is None and name not in own}
        earlier = layout.config.tasks[row.task].own(row.trial).tuning_seeds  # of what an earlier search has chosen
        chosen["tuning_seeds"] = list(dict.fromkeys((*earlier, *layout.config.seeds(row.task))))
        tasks.setdefault(row.task, {"methods": {}})["methods"][row.method] = chosen
    header = f"# Written by `lautum trials --config {path}`; all trials are in {output}.\n"
    return header + yaml.safe_dump({"tasks": tasks}, sort_keys=False, width=150)


def _bounds(layout: Layout, row, stage: str, name: str) -> str:
    if layout.config.search is None:
        return ""
    allowed = getattr(layout.config.search.space[row.method], stage)[name]
    return f" in [{allowed.low:g}, {allowed.high:g}]"
