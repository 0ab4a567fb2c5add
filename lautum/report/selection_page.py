"""The page of a search for hyper-parameters: which trial won, what tuning was worth, and every trial."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lautum import paper
from lautum.experiment.layout import Layout
from lautum.report import answers, page, selection_figures, style, table_text
from lautum.report.page import Section, parts
from lautum.report.selection_figures import BUDGET
from lautum.results import selection

QUESTION = "Which hyper-parameters does each method get?"
SENSITIVITY = (
    "Every trial of the search, against each hyper-parameter that was searched; the others move too. Star: selected. "
    "Pointing at a mark tells which trial it is."
)


def write_all(layout: Layout, path: Path) -> Path:
    """Figures and page of the trials.csv at `path`, beside it; returns the path of the page."""
    trials = selection.read_trials(path)
    tasks = layout.config.tasks
    transfers = {task: table_text.transfer_name(tasks[task].source, tasks[task].target) for task in tasks}
    drawn = selection_figures.build_figures(trials, list(layout.config.methods), transfers)
    style.write(drawn, layout.report, ["png"])  # the page has them as vectors
    return write(layout.report, trials, drawn, transfers, layout.config.about)


def write(
    folder: Path, trials: pd.DataFrame, drawn: Mapping[str, Figure], transfers: Mapping[str, str], about: str
) -> Path:
    """Write `folder`/index.html and return its path.

    `trials` is trials.csv, `drawn` are `selection_figures.build_figures` of it, `transfers` the tasks' names, `about`
    what the configuration says of the campaign.
    """
    transfers = {task: transfers[task] for task in trials["task"].unique()}
    methods = answers.listed(paper.method_name(method) for method in trials["method"].unique())
    where = answers.listed(transfers.values())
    best = trials[trials["selected"]]
    line = f"{len(trials)} trials of {trials.groupby(['task', 'method']).ngroups} searches, scored on "
    line += f"{', '.join(map(str, trials['n_images'].unique()))} held-out target training images; the best of each won."
    rows: list[list] = []
    for task, winners in best.groupby("task", sort=False):
        rows += [[task]] * (len(transfers) > 1)
        rows += [
            [paper.name_and_key(row.method), f"{100 * row.accuracy:.2f}", str(row.runs), _short(row.settings)]
            for row in winners.itertuples()
        ]
    caption = "The best trial of each method: mean validation accuracy over its runs, and what was searched (pre- and "
    caption += "post-transfer)."
    sections = [
        Section(
            f"{task}-budget",
            f"{transfer}: what tuning was worth",
            page.picture(
                drawn[f"{task}-budget"],
                f"{task}-budget",
                "Expected accuracy of the best of a number of trials, a line for each method.",
                BUDGET,
            ),
        )
        for task, transfer in transfers.items()
    ]
    for (task, method), cells in trials.groupby(["task", "method"], sort=False):
        name = f"{task}-sensitivity-{method}"
        if name in drawn:
            text = f"Validation accuracy of {len(cells)} trials, from {100 * cells['accuracy'].min():.1f} to "
            text += f"{100 * cells['accuracy'].max():.1f} %, against each hyper-parameter."
            heading = f"{transfers[task]}: {paper.method_name(method)}"
            sections.append(Section(name, heading, page.picture(drawn[name], name, text, SENSITIVITY)))
    everything = page.data_frame(trials, "Every trial; the seeds are not among those reported.")
    sections.append(Section("trials", "All trials", everything, folded=True))
    return page.write(
        folder / "index.html",
        title=f"Hyper-parameters of {methods}: {where}",
        question=QUESTION,
        line=line,
        card=page.join(
            parts().paragraphs([line]), page.table(["Method", "Accuracy (%)", "Runs", "Settings"], rows, caption)
        ),
        sections=sections,
        about=about,
        thumbnail=f"{next(iter(transfers))}-budget.png",
    )


def _short(settings: str) -> str:
    """What was searched, by stage: fits a phone."""
    return settings.replace("pretrain.", "pre ").replace("transfer.", "post ") or "nothing searched"
