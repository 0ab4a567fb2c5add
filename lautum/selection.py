"""Choosing hyper-parameters: trials are ordinary methods of a grid that is scored on held-out training images.

A configuration for selection has `evaluate: {part: validation, ...}` and either a declared `search` or methods with
`trial_of`. Trials are compared by their mean accuracy over the label counts and seeds of a rung (see `lautum.search`);
the best of the last rung wins, of equal ones the first. The winners' file is what a main grid `extends`.
"""

from pathlib import Path

import pandas as pd
import yaml

from lautum import config, records
from lautum.cells import Cell, Layout
from lautum.errors import LautumError
from lautum.files import write_text

COLUMNS = ["task", "method", "trial", "settings", "accuracy", "sd", "runs", "n_images", "rung", "selected"]


def rungs(layout: Layout) -> tuple[int, ...]:
    """Numbers of seeds after which trials are compared."""
    search = layout.config.search
    return search.rungs if search else (len(layout.config.seeds(layout.config.grid.tasks[0])),)


def rung_file(layout: Layout, rung: int) -> Path:
    """Where `write_rung` writes."""
    return layout.report / f"rung{rung}.csv"


def rung_cells(layout: Layout, rung: int) -> list[Cell]:
    """The runs that rung 1, 2, ... needs, those of earlier rungs included: trials that are left x the first seeds.

    Raises LautumError when the rung before has not been written.
    """
    seeds = rungs(layout)[rung - 1]
    left = None
    if rung > 1:
        ranking = _read(rung_file(layout, rung - 1), f"run `lautum rung {rung - 1}` first")
        if list(ranking["settings"]) != _settings_keys(layout, ranking):
            raise LautumError(
                f"{rung_file(layout, rung - 1)} ranks trials of other settings than the configuration's; "
                f"run `lautum rung {rung - 1}` again"
            )
        left = {(row.task, row.trial) for row in ranking.itertuples() if row.kept}
    return [
        cell
        for cell in layout.cells()
        if cell.seed in layout.config.seeds(cell.task)[:seeds] and (left is None or (cell.task, cell.method) in left)
    ]


def cells(layout: Layout) -> list[Cell]:
    """All runs of a campaign: of a selection, those of every rung; else the whole grid."""
    if layout.config.search is None:
        return layout.cells()
    wanted = {cell for rung in range(len(rungs(layout))) for cell in rung_cells(layout, rung + 1)}
    return [cell for cell in layout.cells() if cell in wanted]


def write_rung(path: Path | str, rung: int) -> Path:
    """Rank the trials of a rung, not the last, of the configuration file `path`; write and return rung<n>.csv.

    Raises LautumError when there is no such rung, or a run is missing (the ranking would be unfair).
    """
    layout = Layout(config.load(path))
    _require_trials(layout, path)
    if not 1 <= rung < len(rungs(layout)):
        raise LautumError(f"{path} has {len(rungs(layout)) - 1} rungs whose best trials go on, there is none {rung}")
    runs, lacking = [], 0
    for cell in rung_cells(layout, rung):
        if layout.record(cell).exists():
            runs.append((cell.task, cell.method, records.read_record(layout, cell)[0]["accuracy"]))
        else:
            lacking += 1
    if lacking:
        raise LautumError(f"{lacking} of {lacking + len(runs)} runs of the trials are missing; finish the rung first")
    table = _means(layout, pd.DataFrame(runs, columns=["task", "method", "accuracy"]))
    table["settings"] = _settings_keys(layout, table)
    table["kept"] = _best(table, layout.config.search.kept(rung))
    output = rung_file(layout, rung)
    write_text(output, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    return output


def write_trials(path: Path | str) -> tuple[Path, Path]:
    """From the collected trials of the configuration file `path`: a table of all of them, and the winners.

    Writes and returns reports/<name>/trials.csv, one row for each trial with its accuracy over all its runs, and
    winners.yaml, a file that a configuration can `extend`. Raises LautumError when the configuration is not one of
    trials, or a run is missing (the ranking would be unfair).
    """
    layout = Layout(config.load(path))
    _require_trials(layout, path)
    wanted = cells(layout)
    runs = records.read(layout, wanted).runs
    if len(runs) < len(wanted):
        lacking = len(wanted) - len(runs)
        raise LautumError(f"{lacking} of {len(wanted)} runs of the trials are missing; finish the grid first")
    table = _means(layout, runs)
    counts = [len(layout.config.tasks[task].label_counts) for task in table["task"]]
    seeds = [runs // count for runs, count in zip(table["runs"], counts, strict=True)]
    table["rung"] = [rungs(layout).index(n) + 1 if layout.config.search else 1 for n in seeds]
    finalists = table[table["rung"] == len(rungs(layout))]
    table["selected"] = _best(finalists, 1).reindex(table.index, fill_value=False)
    table["settings"] = [_text(settings(layout.config, row.task, row.trial)) for row in table.itertuples()]
    table["n_images"] = layout.config.evaluate.validation_images
    output, winners = layout.report / "trials.csv", layout.report / "winners.yaml"
    write_text(output, table[COLUMNS].to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_text(winners, _winners(layout, table, path, output))
    return output, winners


def read_trials(path: Path | str) -> pd.DataFrame:
    """What `write_trials` wrote. Raises LautumError when it is missing."""
    return _read(Path(path), "run the selection it comes from, or drop `trials` from the file")


def settings(loaded: config.Config, task: str, trial: str) -> dict[str, dict[str, float]]:
    """The values that tell a trial from others, {stage: {hyper-parameter: value}}."""
    own = loaded.tasks[task].methods.get(trial, config.MethodSettings())
    stages = {"pretrain": own.pretrain, "transfer": own.transfer}
    if loaded.search is None:
        return stages
    space = loaded.search.space[loaded.methods[trial].trial_of]
    return {stage: {name: stages[stage][name] for name in getattr(space, stage)} for stage in stages}


def _settings_keys(layout: Layout, table: pd.DataFrame) -> list[str]:
    """A hash of each trial's settings at every label count."""
    counts = {task: layout.config.tasks[task].label_counts for task in layout.config.grid.tasks}
    known = set(layout.config.grid.methods)
    return [
        "+".join(layout.settings_key(row.task, row.trial, labels) for labels in counts.get(row.task, ()))
        if row.trial in known
        else ""
        for row in table.itertuples()
    ]


def _text(values: dict[str, dict]) -> str:
    return ", ".join(f"{stage}.{name} {value}" for stage, named in values.items() for name, value in named.items())


def _require_trials(layout: Layout, path: Path | str) -> None:
    methods = layout.config.methods
    plain = [name for name in layout.config.grid.methods if methods[name].trial_of is None]
    if plain or layout.config.evaluate.part != "validation":
        raise LautumError(
            f"{path} is no selection: it needs `evaluate: {{part: validation, ...}}` and `search`, or `trial_of` for "
            "each method" + (f", missing for {', '.join(plain)}" if plain else "")
        )


def _means(layout: Layout, runs: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy, standard deviation and number of runs of each trial."""
    table = runs.groupby(["task", "method"], sort=False)["accuracy"].agg(accuracy="mean", sd="std", runs="count")
    table = table.reset_index().rename(columns={"method": "trial"})
    table.insert(1, "method", [layout.config.methods[trial].trial_of for trial in table["trial"]])
    return table


def _best(table: pd.DataFrame, count: int) -> pd.Series:
    """Which trials are among the best `count` of their task and method; of equal ones the first."""
    return table.groupby(["task", "method"])["accuracy"].rank(method="first", ascending=False) <= count


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
        tasks.setdefault(row.task, {"methods": {}})["methods"][row.method] = chosen
    header = f"# Written by `lautum trials --config {path}`; all trials are in {output}.\n"
    return header + yaml.safe_dump({"tasks": tasks}, sort_keys=False, width=150)


def _bounds(layout: Layout, row, stage: str, name: str) -> str:
    if layout.config.search is None:
        return ""
    allowed = getattr(layout.config.search.space[row.method], stage)[name]
    return f" in [{allowed.low:g}, {allowed.high:g}]"


def _read(path: Path, remedy: str) -> pd.DataFrame:
    try:
        return pd.read_csv(path, keep_default_na=False, na_values={"sd": [""]}, dtype={"settings": str})
    except FileNotFoundError:
        raise LautumError(f"{path} does not exist; {remedy}") from None
