"""From what the page of a campaign of runs is made, and the sections that say so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from lautum import paper
from lautum.report import page, selection_figures, table_text
from lautum.report.page import Section, parts
from lautum.report.table_text import Table

DATA = {
    "source_train_sha256": "source, training images",
    "target_train_sha256": "target, training images",
    "target_eval_sha256": "target, test images",
}
MACHINE = {
    "device": "Device",
    "cpu": "CPU",
    "threads": "Threads per run",
    "python": "Python",
    "torch": "PyTorch",
    "commit": "Commit",
}


class Campaign(NamedTuple):
    """What the page is made from."""

    name: str
    about: str  # what its configuration says of it
    command: str  # that makes the results from nothing
    runs: pd.DataFrame  # from `tables.grid`
    built: Mapping[str, Table]  # from `tables.build_tables`
    drawn: Mapping[str, Figure]  # of `figures` and `training_figures`
    tasks: Mapping  # as in `tables`
    methods: Mapping[str, str]  # what each is, in a line
    hyperparameters: Sequence[Mapping]  # one for each value, with the same keys throughout: the column titles
    trials: Mapping[
        str, pd.DataFrame
    ] = {}  # every trial of each search for hyper-parameters, by its folder, seen from the page's
    trials_missing: Sequence[str] = ()  # searches that have not been run to their end
    campaigns: Sequence[Mapping] = ()  # `collected.summary` of each that was run, this one included


def sections(campaign: Campaign) -> list[Section]:
    """From what it was made: methods, hyper-parameters and their trials, costs, campaigns, data, environment."""
    done = campaign.runs.dropna(subset="accuracy")
    shown = campaign.runs["method"].unique()
    about = [(paper.name_and_key(method), campaign.methods[method]) for method in shown]
    machines = done.groupby(list(MACHINE), sort=False).size().reset_index(name="Runs")
    machines = machines.astype({"threads": int}).rename(columns=MACHINE)
    sections = [
        Section("methods", "Methods", parts().definitions(about)),
        Section("trials", "Trials", _trials(campaign), folded=True),
        Section(
            "hyper-parameters",
            "Hyper-parameters",
            page.data_frame(
                pd.DataFrame(campaign.hyperparameters),
                "Source: “paper” is stated there, “inferred” from what is named, “tuned” by the trials, “chosen” by us "
                "for the reason given.",
            ),
            folded=True,
        ),
        Section("cost", "Cost", whole(campaign.built["costs"], folded=False), folded=True),
        Section("data", "Data", _data(done), folded=True),
        Section(
            "environment",
            "Environment and command",
            page.join(page.data_frame(machines), parts().command(campaign.command)),
            folded=True,
        ),
    ]
    if campaign.campaigns:
        listed = page.data_frame(
            pd.DataFrame(campaign.campaigns),
            "The campaigns that the configuration lists, in its order; each has its records in a folder of its name. "
            "Trials are scored on validation images, the rest on test images.",
        )
        sections.insert(4, Section("campaigns", "Campaigns", listed, folded=True))
    return sections


def _trials(campaign: Campaign) -> Markup:
    """What tuning was worth, and where each trial stands."""
    pieces = []
    if campaign.trials:
        together = pd.concat(campaign.trials.values())
        names = list(campaign.runs["method"].unique())
        transfers = table_text.transfers(campaign.built["accuracy"])
        for name, figure in selection_figures.budget_figures(together, names, transfers).items():
            text = "Expected accuracy of the best of a number of trials, a line for each method."
            pieces.append(page.picture(figure, name, text, selection_figures.BUDGET))
        links = [
            Markup('<a href="{}/index.html">{}</a>: {} trials').format(folder, Path(folder).name, len(table))
            for folder, table in campaign.trials.items()
        ]
        pieces.append(parts().bullets(links))
    if campaign.trials_missing:
        missing = [f"{name} is missing: this search has not been run to its end." for name in campaign.trials_missing]
        pieces.append(parts().paragraphs(missing))
    return page.join(*pieces) or parts().paragraphs(["No search for hyper-parameters belongs to this experiment."])


def _data(done: pd.DataFrame) -> Markup:
    rows = [
        [task, title, rows[column].iloc[0]]
        for task, rows in done.groupby("task", sort=False)
        for column, title in DATA.items()
    ]
    caption = "Content hashes of the prepared data; results of different data are never tabulated together."
    return page.table(["Task", "Data", "SHA-256"], rows, caption, "whole")


def whole(table: Table, folded: bool = True) -> Markup:
    """All columns of a table, on demand or in sight."""
    shown = page.table(list(table.cells.columns), table.cells.itertuples(index=False), table.caption, "whole")
    return parts().folded("All columns", shown) if folded else shown
