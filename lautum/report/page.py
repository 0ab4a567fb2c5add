"""One self-contained HTML page: what was run, what came out beside the paper's figures, and from what."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from lautum import paper
from lautum.files import write_text
from lautum.report import selection_figures, style, table_text, tables
from lautum.report.style import Rendered
from lautum.report.table_text import Table
from lautum.results.collected import ranges

DATA = {
    "source_train_sha256": "source, training images",
    "target_train_sha256": "target, training images",
    "target_eval_sha256": "target, {part} images",
}
MACHINE = {
    "device": "Device",
    "cpu": "CPU",
    "threads": "Threads per run",
    "python": "Python",
    "torch": "PyTorch",
    "commit": "Commit",
}


def write_report(
    folder: Path,
    *,
    name: str,
    command: str,
    runs: pd.DataFrame,
    built: Mapping[str, Table],
    rendered: Mapping[str, Rendered],
    tasks: Mapping,
    methods: Mapping[str, str],
    hyperparameters: Sequence[Mapping],
    trials: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    trials_missing: Sequence[str] = (),
    campaigns: Sequence[Mapping] = (),
) -> Path:
    """Write `folder`/index.html and return its path.

    Args:
        name: of the experiment, the page's title.
        command: the command that makes the results from nothing.
        runs: from `tables.grid`.
        built: from `tables.build_tables`.
        rendered: figures of each task, named `{task}-...`.
        tasks: as in `tables`.
        methods: what each is, in a line.
        hyperparameters: one mapping per value with the same keys throughout, which become the column titles.
        trials: every trial of each search for hyper-parameters, by the search's name, its columns as they are.
        trials_missing: names of searches that have not been run to their end.
        campaigns: one mapping for each campaign that was run, this one included.

    Raises LautumError when the folder cannot be written to.
    """
    done = runs.dropna(subset="accuracy")
    part = tables.part_of(runs)
    images = {title: _embedded(figure) for title, figure in rendered.items()}
    page = _template().render(
        name=name,
        command=command,
        part=part,
        n_done=len(done),
        n_expected=len(runs),
        tasks=[_task(task, rows, tasks[task], built, images) for task, rows in runs.groupby("task", sort=False)],
        methods={paper.method_name(method): methods[method] for method in runs["method"].unique()},
        captions={title: table.caption for title, table in built.items()},
        costs=built["costs"],
        hyperparameters=_as_text(pd.DataFrame(hyperparameters)),
        trials_missing=trials_missing,
        trials={title: _as_text(table) for title, table in trials.items()},
        budgets=_pictures(_budgets(trials, list(runs["method"].unique()))),
        sensitivity={title: _pictures(selection_figures.sensitivity_figures(table)) for title, table in trials.items()},
        campaigns=_as_text(pd.DataFrame(campaigns)),
        data=_data_table(done, part),
        environment=_environment_table(done),
    )
    path = Path(folder) / "index.html"
    write_text(path, page)
    return path


def _task(task: str, runs: pd.DataFrame, info, built: Mapping[str, Table], images: dict[str, str]) -> dict:
    """What the page shows of one task."""
    return {
        "name": task,
        "transfer": built["accuracy"].cells.loc[built["accuracy"].numbers["task"] == task, "Source → Target"].iloc[0],
        "paper_source": paper.TABLE_SOURCES.get(info.paper_table),
        "labels": [int(count) for count in runs["labels"].unique()],
        "seeds": ranges(runs["seed"]),
        "n_done": int(runs["accuracy"].notna().sum()),
        "n_expected": len(runs),
        "classes": info.classes,
        "accuracy": _rows_of(built["accuracy"], task),
        "differences": _rows_of(built["differences"], task),
        "findings": _findings(built["differences"].numbers, task),
        "claims": _rows_of(built["claims"], task),
        "pretraining": _rows_of(built["pretraining"], task),
        "images": {
            title.removeprefix(f"{task}-"): image for title, image in images.items() if title.startswith(f"{task}-")
        },
    }


def _findings(differences: pd.DataFrame, task: str) -> list[str]:
    """What the comparisons of a task say that the paper has no figures for, and so no verdict."""
    rows = differences[(differences["task"] == task) & differences["paper"].isna() & (differences["n"] > 1)]
    return [table_text.finding(labels) for _, labels in rows.groupby(["method", "baseline"], sort=False)]


def _rows_of(table: Table, task: str) -> Table:
    rows = table.numbers["task"] == task
    # The heading says which task it is: without these columns the accuracy is in sight on a phone.
    cells = table.cells[rows].drop(columns=["Task", "Source → Target"], errors="ignore")
    return Table(table.numbers[rows], cells, table.caption)


def _data_table(done: pd.DataFrame, part: str) -> Table:
    rows = [
        {"Task": task, "Data": title.format(part=part), "SHA-256": rows[column].iloc[0]}
        for task, rows in done.groupby("task", sort=False)
        for column, title in DATA.items()
    ]
    return _as_text(pd.DataFrame(rows))


def _environment_table(done: pd.DataFrame) -> Table:
    machines = done.groupby(list(MACHINE), sort=False).size().reset_index(name="Runs")
    return _as_text(machines.astype({"threads": int}).rename(columns=MACHINE))


def _budgets(trials: Mapping[str, pd.DataFrame], methods: list[str]) -> dict[str, Figure]:
    """One figure for each task, also where its methods were searched in several campaigns."""
    return selection_figures.budget_figures(pd.concat(trials.values()), methods) if trials else {}


def _pictures(figures: dict[str, Figure]) -> dict[str, str]:
    return {title: _embedded(style.render(figure, ["svg"])) for title, figure in figures.items()}


def _as_text(table: pd.DataFrame) -> Table:
    """Any data frame as it stands; numbers with up to four digits."""
    return Table(table, table.map(lambda value: format(value, ".4g") if isinstance(value, float) else str(value)), "")


def _embedded(rendered: Rendered) -> str:
    """A figure as a data URI, so that the page is one file."""
    return "data:image/svg+xml;base64," + base64.b64encode(rendered["svg"]).decode()


def _template():
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")
