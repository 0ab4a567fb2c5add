"""Choosing hyper-parameters: trials are ordinary methods of a grid that is scored on held-out training images.

A configuration for selection has `evaluate: {part: validation, ...}` and methods with `trial_of`. The trial with the
highest mean validation accuracy over the grid's label counts and seeds wins; of equal ones the first listed.
"""

from pathlib import Path

import pandas as pd

from lautum import config, records
from lautum.cells import Layout
from lautum.errors import LautumError
from lautum.files import write_text

COLUMNS = ["task", "method", "trial", "settings", "accuracy", "sd", "runs", "n_images", "selected"]


def write_trials(path: Path | str) -> Path:
    """Rank the collected trials of the configuration file `path`; write and return reports/<name>/trials.csv.

    Raises LautumError when the configuration is not one of trials, or a trial lacks a run (the ranking would be
    unfair).
    """
    layout = Layout(config.load(path))
    methods = layout.config.methods
    plain = [name for name in layout.config.grid.methods if methods[name].trial_of is None]
    if plain or layout.config.evaluate.part != "validation":
        raise LautumError(
            f"{path} is no selection: it needs `evaluate: {{part: validation, ...}}` and `trial_of` for each method"
            + (f", missing for {', '.join(plain)}" if plain else "")
        )
    runs = records.read(layout).runs
    lacking = len(layout.cells()) - len(runs)
    if lacking:
        raise LautumError(f"{lacking} of {len(layout.cells())} runs of the trials are missing; finish the grid first")
    table = runs.groupby(["task", "method"], sort=False)["accuracy"].agg(accuracy="mean", sd="std", runs="count")
    table = table.reset_index().rename(columns={"method": "trial"})
    table["method"] = [methods[trial].trial_of for trial in table["trial"]]
    table["settings"] = [_settings(layout.config, row.task, row.trial) for row in table.itertuples()]
    table["n_images"] = layout.config.evaluate.validation_images
    best = table.groupby(["task", "method"], sort=False)["accuracy"].idxmax()
    table["selected"] = table.index.isin(best)
    output = layout.report / "trials.csv"
    write_text(output, table[COLUMNS].to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    return output


def read_trials(path: Path | str) -> pd.DataFrame:
    """What `write_trials` wrote. Raises LautumError when it is missing."""
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise LautumError(
            f"{path} does not exist; run the selection it comes from, or drop `trials` from the file"
        ) from None


def _settings(loaded: config.Config, task: str, trial: str) -> str:
    own = loaded.tasks[task].methods[trial]
    return ", ".join(f"{name} {value}" for stage in (own.pretrain, own.transfer) for name, value in stage.items())
