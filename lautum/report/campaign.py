"""Tables, figures and page of one campaign, from its collected records."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.report import figures, style, tables, training_figures
from lautum.report.page import write_report
from lautum.report.table_text import Table
from lautum.results import collected, records, selection
from lautum.results.collected import Results

Run = tuple[str, str, int, int]  # task, method, labels, seed


def read(layout: Layout) -> tuple[Results, list[Run], dict[str, Table]]:
    """The collected results, the runs that the configuration asks for, and the tables of these.

    Raises LautumError as `records.read` and `tables.grid`.
    """
    results = records.read(layout)
    expected = [(cell.task, cell.method, cell.labels, cell.seed) for cell in layout.cells()]
    wanted = layout.config
    titles = {name: data_set.title for name, data_set in wanted.catalogue.datasets.items()}
    return results, expected, tables.build_tables(results, expected, wanted.tasks, wanted.comparisons, titles)


def draw(layout: Layout, results: Results, expected: list[Run], built: Mapping[str, Table]) -> dict[str, Figure]:
    """The figures by name; the arguments are what `read` returns."""
    drawn = figures.build_figures(dict(built), layout.config.evaluate.part)
    return drawn | training_figures.build_training_figures(tables.grid(results.runs, expected), results)


def write(layout: Layout, path: Path | str) -> Path:
    """Write everything, of the configuration in the file `path`; returns the path of the page."""
    results, expected, built = read(layout)
    tables.write_tables(built, layout.report)
    drawn = draw(layout, results, expected, built)
    style.write({name: style.render(figure) for name, figure in drawn.items()}, layout.report)
    drawn = draw(layout, results, expected, built)  # afresh, see `style.render`
    trials = layout.config.trials
    return write_report(
        layout.report,
        name=layout.config.name,
        command=f"snakemake --profile local --configfile {path}",
        runs=tables.grid(results.runs, expected),
        built=built,
        rendered={name: style.render(figure, ["svg"]) for name, figure in drawn.items()},
        tasks=layout.config.tasks,
        methods={name: method.about for name, method in layout.config.methods.items()},
        hyperparameters=config.hyper_parameters(path),
        trials={trial: selection.read_trials(trial) for trial in trials if Path(trial).exists()},
        campaigns=[collected.summary(layout.report.parent / name) for name in layout.config.campaigns],
        trials_missing=[trial for trial in trials if not Path(trial).exists()],
    )
