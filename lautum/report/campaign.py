"""Tables, figures and page of one campaign, from its collected records."""

from collections.abc import Mapping
from pathlib import Path

from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.report import figures, style, tables, training_figures
from lautum.report.page import write_report
from lautum.report.style import Rendered
from lautum.report.table_text import Table
from lautum.results import records, selection
from lautum.results.records import Results

Run = tuple[str, str, int, int]  # task, method, labels, seed


def read(layout: Layout) -> tuple[Results, list[Run], dict[str, Table]]:
    """The collected results, the runs that the configuration asks for, and the tables of these.

    Raises LautumError as `records.read` and `tables.grid`.
    """
    results = records.read(layout)
    expected = [(cell.task, cell.method, cell.labels, cell.seed) for cell in layout.cells()]
    return results, expected, tables.build_tables(results, expected, layout.config.tasks, layout.config.comparisons)


def render(layout: Layout, results: Results, expected: list[Run], built: Mapping[str, Table]) -> dict[str, Rendered]:
    """The figures by name, as they are written."""
    drawn = figures.build_figures(dict(built), layout.config.evaluate.part)
    drawn |= training_figures.build_training_figures(tables.grid(results.runs, expected), results)
    return {name: style.render(figure) for name, figure in drawn.items()}


def write(layout: Layout, path: Path | str) -> Path:
    """Write everything, of the configuration in the file `path`; returns the path of the page."""
    results, expected, built = read(layout)
    tables.write_tables(built, layout.report)
    rendered = render(layout, results, expected, built)
    style.write(rendered, layout.report)
    trials = layout.config.trials
    return write_report(
        layout.report,
        name=layout.config.name,
        command=f"snakemake --profile local --configfile {path}",
        runs=tables.grid(results.runs, expected),
        built=built,
        rendered=rendered,
        tasks=layout.config.tasks,
        methods={name: method.about for name, method in layout.config.methods.items()},
        hyperparameters=config.hyper_parameters(path),
        trials={trial: selection.read_trials(trial) for trial in trials if Path(trial).exists()},
        campaigns=[records.summary(layout.report.parent / name) for name in layout.config.campaigns],
        trials_missing=[trial for trial in trials if not Path(trial).exists()],
    )
