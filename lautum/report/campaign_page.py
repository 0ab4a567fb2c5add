"""The page of a campaign of runs: the answer, a section for each task, and from what it was made."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from lautum import paper
from lautum.report import answers, differences_page, origin, page, table_text
from lautum.report.origin import Campaign, whole
from lautum.report.page import Section, parts
from lautum.report.table_text import Table
from lautum.results.collected import ranges
from lautum.results.equivalence import COLUMNS
from lautum.results.statistics import ORDERS

TRANSFER = (
    "Post-transfer stage, on single batches, smoothed over a tenth of it. A loss with a consistency term (TE’s) is "
    "averaged over all target images, few of which are labelled: its level does not compare with that of the others. "
    "Where Lautum information is part of the loss and makes it negative, there is a gap."
)
PRETRAIN = (
    "Pre-transfer stage, on single batches in training mode (with dropout), smoothed over a tenth of it. Lautum "
    "information L(w; x) between target images and their logits, and the largest canonical correlation between the "
    "two, are logged where they are maximised; L grows without bound as that correlation approaches 1."
)
EXAMPLES = (
    "What the post-transfer stage is given: labelled target images of the first seed at the smallest number of labels, "
    "at most five of each class. Every method gets the same ones."
)


def write(folder: Path, campaign: Campaign) -> Path:
    """Write `folder`/index.html and return its path. Raises LautumError when the folder cannot be written to."""
    runs, built = campaign.runs, campaign.built
    transfers = table_text.transfers(built["accuracy"])
    differences, claims = built["differences"].numbers, built["claims"].numbers
    sentences = [
        answers.sentence(differences[differences["task"] == task], claims[claims["task"] == task], transfer)
        for task, transfer in transfers.items()
    ]
    return page.write(
        Path(folder) / "index.html",
        title=answers.title(differences, runs, transfers),
        question=answers.question(differences),
        line=" ".join(sentences),
        card=_card(campaign, sentences, transfers),
        about=campaign.about,
        notices=_notices(runs),
        sections=[
            *(_task_section(campaign, task, transfers[task]) for task in transfers),
            *origin.sections(campaign),
        ],
        thumbnail="answer.png" if "answer" in campaign.drawn else f"{next(iter(transfers))}-accuracy.png",
    )


def _notices(runs: pd.DataFrame) -> list[str]:
    missing = int(runs["accuracy"].isna().sum())
    notices = []
    if missing:
        notices.append(
            f"{missing} of {len(runs)} runs are missing; their cells say so, and means are over the seeds that are "
            "there."
        )
    return notices


def _card(campaign: Campaign, sentences: list[str], transfers: Mapping[str, str]) -> Markup:
    """Sentences, the decisive figure, and the paper's orders or else all comparisons, in words."""
    claims, differences = campaign.built["claims"].numbers, campaign.built["differences"].numbers
    pieces = [parts().bullets(sentences)]
    if "answer" in campaign.drawn:
        found = " ".join(
            f"{transfers[task]}: {text}"
            for task, rows in differences.groupby("task", sort=False)
            for text in answers.findings(answers.leading(rows))
        )
        caption = differences_page.ANSWER + (differences_page.PAPER if differences["paper"].notna().any() else "")
        pieces.append(page.picture(campaign.drawn["answer"], "answer", found or differences_page.NO_INTERVAL, caption))
    if len(claims):
        rows = [
            [
                f"{paper.method_name(method)} > {paper.method_name(baseline)}",
                *(_claim(rows, task) for task in transfers),
            ]
            for (method, baseline), rows in claims.groupby(["method", "baseline"], sort=False)
        ]
        caption = "The paper’s orders, over all numbers of labels that were run; in brackets, at how many each is "
        caption += "reproduced. Unresolved: consistent with what was measured, but so is the opposite. ≈: at how many "
        caption += "the two are practically equivalent instead, within a margin that is named below."
        pieces.append(page.table(["In the paper", *transfers.values()], rows, caption))
    without = differences[differences["paper"].isna()]
    if len(without):
        for task, rows in without.groupby("task", sort=False):
            labels = list(rows["labels"].unique())
            shown = [
                [paper.comparison_name(*pair), *(_state(cells, count) for count in labels)]
                for pair, cells in rows.groupby(["method", "baseline"], sort=False)
            ]
            caption = f"{transfers[task]}: the first method against the second, at each number of labels."
            pieces.append(page.table(["Comparison", *map(str, labels)], shown, caption))
    return page.join(*pieces)


def _claim(rows: pd.DataFrame, task: str) -> Markup | str:
    """The verdict on one order in one task."""
    for row in rows[rows["task"] == task].itertuples():
        total = sum(getattr(row, name) for name in ORDERS.values())
        pieces = [page.word(row.verdict), page.small(f"({row.reproduced} of {total})")]
        if equal := sum(getattr(row, name) for name in COLUMNS.values()):
            pieces.append(page.small(f"≈ at {equal} of {total}"))
        return page.join(*pieces)
    return table_text.NONE


def _state(cells: pd.DataFrame, labels: int) -> Markup | str:
    for row in cells[cells["labels"] == labels].dropna(subset="low").itertuples():
        return page.word(answers.state(row))
    return table_text.NONE


def _task_section(campaign: Campaign, task: str, transfer: str) -> Section:
    """All that there is of one task; what few look for on demand."""
    runs, info = campaign.runs[campaign.runs["task"] == task], campaign.tasks[task]
    accuracy, differences, pretraining, powers = (
        _rows_of(campaign.built[name], task) for name in ("accuracy", "differences", "pretraining", "power")
    )
    source = paper.TABLE_SOURCES.get(info.paper_table)
    facts = [
        ("Task", task),
        ("Labels", ", ".join(str(count) for count in runs["labels"].unique())),
        ("Seeds", ranges(runs["seed"])),
        ("Classes", ", ".join(info.classes) if info.classes else "all"),
        ("Results", f"{runs['accuracy'].notna().sum()} of {len(runs)}"),
        ("Paper", source or "no figures for this task"),
    ]
    if info.looks:
        facts.insert(3, ("Looked at", f"after {', '.join(map(str, info.looks))} seeds, before the last"))
    equal = (accuracy.numbers["low"].isna() & (accuracy.numbers["n"] > 1)).any()
    caption = f"Mean test accuracy and its 95 % interval; no bar: no interval (n = 1{' or all equal' * bool(equal)})."
    caption += " Stars: the paper’s figures." if accuracy.numbers["paper"].notna().any() else ""
    pieces = [
        parts().definitions(facts),
        parts().subsection(
            "Accuracy",
            page.join(
                page.picture(
                    campaign.drawn[f"{task}-accuracy"],
                    f"{task}-accuracy",
                    answers.accuracies(accuracy.numbers),
                    caption,
                ),
                _accuracy_in_sight(accuracy.numbers),
                whole(accuracy),
            ),
        ),
        parts().subsection("Paired differences", differences_page.differences(campaign, task, differences, info.looks)),
        parts().subsection("What the design could have found", differences_page.power(campaign, task, powers)),
    ]
    for kind, heading, text, caption in (
        ("examples", "Labelled target images", "Labelled target images, a column for each class.", EXAMPLES),
        ("pretrain", "Pre-transfer training", _ends(pretraining.numbers), PRETRAIN),
        (
            "transfer",
            "Post-transfer training",
            "Training loss of each method, a column for each number of labels.",
            TRANSFER,
        ),
        (
            "confusion",
            "Confusion",
            "What the first method predicts more or less often than the second, by class.",
            _CONFUSION,
        ),
    ):
        if f"{task}-{kind}" in campaign.drawn:
            shown = page.picture(campaign.drawn[f"{task}-{kind}"], f"{task}-{kind}", text, caption)
            if kind == "pretrain":
                shown = page.join(shown, whole(pretraining, folded=False))
            pieces.append(parts().folded(heading, shown))
    return Section(task, transfer, page.join(*pieces))


_CONFUSION = "In points of the images of a true class, at the smallest number of labels, mean over common seeds."


def _accuracy_in_sight(table: pd.DataFrame) -> Markup:
    """The layout of the paper's tables: a row for each method, a column for each number of labels."""
    labels = list(table["labels"].unique())
    rows = []
    for method, cells in table.groupby("method", sort=False):
        by_labels = {row.labels: row for row in cells.itertuples()}
        rows.append([paper.method_name(method), *(_accuracy_cell(by_labels.get(count)) for count in labels)])
    known = "; below, the paper’s figure" if table["paper"].notna().any() else ""
    caption = f"Accuracy (%) by number of labels, with its 95 % interval{known}. Bold: the highest mean."
    return page.table(["Method", *map(str, labels)], rows, caption)


def _accuracy_cell(row) -> Markup | str:
    if row is None:
        return table_text.NONE
    mean = table_text.estimate(row.mean, row.n, row.n_expected)
    lines = [Markup('<span class="best">{}</span>').format(mean) if row.best else mean]
    if row.n:
        lines.append(page.small(table_text.interval(row.low, row.high, row.n)))
    if row.paper == row.paper:
        lines.append(page.small(f"paper {table_text.percent(row.paper)}"))
    return Markup(" ").join(lines)


def _rows_of(table: Table, task: str) -> Table:
    rows = table.numbers["task"] == task
    # The heading says which task it is.
    cells = table.cells[rows].drop(columns=["Task", "Source → Target"], errors="ignore")
    # Without figures of the paper nothing is compared with them.
    paired = [name for name in ("Paper (%)", "Paper (points)", "Order", "Size", "e") if name in cells]
    empty = [name for name in paired if (cells[name] == table_text.NONE).all()]
    return Table(table.numbers[rows], cells.drop(columns=empty), table.caption)


def _ends(pretraining: pd.DataFrame) -> str:
    """What the curves of the pre-transfer stage come to, in words."""
    ends = []
    for row in pretraining.dropna(subset="source_accuracy").itertuples():
        names = ", ".join(paper.method_name(method) for method in row.methods.split("+"))
        ends.append(f"{names} {100 * row.source_accuracy:.1f} %")
    return f"Curves over the pre-transfer stage{'; source accuracy at its end: ' * bool(ends)}{'; '.join(ends)}."
