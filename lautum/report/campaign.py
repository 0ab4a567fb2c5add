"""Tables, figures and page of one campaign, from its collected records."""

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lautum.errors import LautumError
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.report import campaign_page, figures, index_page, power_figures, style, table_text, tables, training_figures
from lautum.report.origin import Campaign
from lautum.report.table_text import Table
from lautum.results import collected, records, selection
from lautum.results.collected import Results

Run = tuple[str, str, int, int]  # task, method, labels, seed


def read(layout: Layout) -> tuple[Results, list[Run], dict[str, Table]]:
    """The collected results, the runs that the configuration asks for, and the tables of these.

    Raises LautumError as `records.read` and `tables.grid`, and for a campaign that other commands show.
    """
    if layout.config.universes:
        raise LautumError(f"{layout.config.name} is a campaign over universes: `lautum report` makes all that it has")
    if layout.config.evaluate.part == "validation":
        raise LautumError(f"{layout.config.name} selects hyper-parameters: `lautum trials` makes all that it has")
    results = records.read(layout)
    expected = [(cell.task, cell.method, cell.labels, cell.seed) for cell in layout.cells()]
    wanted = layout.config
    titles = {name: data_set.title for name, data_set in wanted.catalogue.datasets.items()}
    return results, expected, tables.build_tables(results, expected, wanted.tasks, wanted.comparisons, titles)


def draw(layout: Layout, results: Results, expected: list[Run], built: Mapping[str, Table]) -> dict[str, Figure]:
    """The figures by name; the arguments are what `read` returns."""
    runs, transfers = tables.grid(results.runs, expected), table_text.transfers(built["accuracy"])
    pair = next((pair for pair in layout.config.comparisons if set(pair) <= set(layout.config.grid.methods)), None)
    drawn = figures.build_figures(built)
    drawn |= power_figures.build_figures(built["differences"].numbers, transfers)
    return drawn | training_figures.build_figures(runs, results, transfers, pair)


def trials(layout: Layout) -> dict[str, pd.DataFrame]:
    """What was tried for the tasks of the grid, of each search by its folder, seen from the report's.

    `trials` is inherited, so it can name searches for tasks that are not in the grid.
    """
    found = {}
    for path in map(Path, layout.config.trials):
        if path.exists():
            tried = selection.read_trials(path)
            tried = tried[tried["task"].isin(layout.config.grid.tasks)]
            if len(tried):
                found[os.path.relpath(path.parent, layout.report)] = tried
    return found


def write(layout: Layout, path: Path | str) -> Path:
    """Write everything, of the configuration in the file `path`; returns the path of the page.

    With `campaigns` in the configuration also the list of their pages, in the folder above.
    """
    results, expected, built = read(layout)
    tables.write_tables(built, layout.report)
    drawn = draw(layout, results, expected, built)
    style.write(drawn, layout.report)
    made = Campaign(
        name=layout.config.name,
        about=layout.config.about,
        command=f"snakemake --profile local --configfile {path}",
        runs=tables.grid(results.runs, expected),
        built=built,
        drawn=drawn,
        tasks=layout.config.tasks,
        methods={name: method.about for name, method in layout.config.methods.items()},
        hyperparameters=config.hyper_parameters(path),
        trials=trials(layout),
        trials_missing=[path for path in layout.config.trials if not Path(path).exists()],
        campaigns=[collected.summary(layout.report.parent / name) for name in layout.config.campaigns],
    )
    page = campaign_page.write(layout.report, made)
    if layout.config.campaigns:
        index_page.write(layout.report.parent, layout.config.campaigns)
    return page
