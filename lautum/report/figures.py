"""Plots of the tables: accuracy against number of labels, and paired differences."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lautum import paper
from lautum.report import table_text
from lautum.report.style import WIDTH, add_grid, add_legend, method_style
from lautum.report.svg import name_marks
from lautum.report.tables import Table

PAPER_LABEL = "paper"
ROW = 0.2  # inches of a row of differences
# The paper's figures are hollow stars: no method has that shape.
PAPER_MARK = {"marker": "*", "facecolor": "none", "edgecolor": "0.25", "linewidth": 1, "s": 70}


def accuracy_figure(table: pd.DataFrame, methods: Sequence[str], transfer: str) -> Figure:
    """Accuracy against number of labelled images, a mark per method, for the rows of one task of `accuracy_table`.

    `methods` are all of the campaign, `transfer` is the task's name for readers. Marks stand side by side, so that they
    and their intervals do not hide each other; nothing joins them, because lines between shifted marks cross where
    accuracies do not.
    """
    labels = sorted(table["labels"].unique())
    shown = list(table["method"].unique())
    spacing = 0.8 / max(len(shown), 4)
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    for place in range(0, len(labels), 2):
        axes.axvspan(place - 0.5, place + 0.5, color="0.96", linewidth=0)
    handles = []
    for number, (method, rows) in enumerate(table.groupby("method", sort=False)):
        colour, marker, _ = method_style(method, methods)
        rows = rows[rows["n"] > 0]
        name = paper.method_name(method)
        x = rows["labels"].map(labels.index) + spacing * (number - (len(shown) - 1) / 2)
        axes.vlines(x, 100 * rows["low"], 100 * rows["high"], color=colour, linewidth=2)
        marks = axes.scatter(x, 100 * rows["mean"], color=colour, marker=marker, s=34, zorder=3)
        name_marks(marks, [f"{name}, {table_text.accuracy_text(row)}" for row in rows.itertuples()])
        known = rows.dropna(subset="paper")
        beside = axes.scatter(x[known.index] + spacing / 3, 100 * known["paper"], **PAPER_MARK)
        name_marks(
            beside, [f"{name} in the paper, {row.labels} labels: {100 * row.paper:.2f} %" for row in known.itertuples()]
        )
        handles.append(Line2D([], [], color=colour, marker=marker, linewidth=2, label=name))
    if table["paper"].notna().any():
        handles.append(_paper_handle())
    axes.set_xticks(range(len(labels)), [str(count) for count in labels])
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_xlabel(f"Labelled target images{_missing(table)}")
    axes.set_ylabel("Target test accuracy (%)")
    axes.set_title(f"{transfer}\nmean and 95 % t interval, {_seeds(table['n'])}", fontsize="medium")
    add_grid(axes, "y")
    add_legend(figure, handles, "small")
    return figure


def difference_figure(table: pd.DataFrame, methods: Sequence[str], transfer: str) -> Figure:
    """Forest plot of the paired differences, for the rows of one task of `difference_table`.

    A row is marked as its first method is everywhere; `methods` are all of the campaign, `transfer` is the task's name
    for readers.
    """
    rows = _by_comparison(table)
    figure = Figure(figsize=(WIDTH, 1.5 + ROW * (rows["place"].max() + 1)), layout="constrained")
    axes = figure.subplots()
    _draw_differences(axes, rows, methods)
    axes.set_xlabel("Difference of test accuracy (points)", fontsize="small")
    axes.set_title(f"{transfer}\nmean over {_seeds(table['n'])} that both methods have", fontsize="medium")
    _difference_legend(figure, table)
    return figure


def answer_figure(differences: pd.DataFrame, methods: Sequence[str], transfers: Mapping[str, str]) -> Figure | None:
    """The differences that answer the question: of the first method compared and the others, a panel for each task.

    `differences` is `difference_table`, `transfers` the tasks' names for readers. None without comparisons.
    """
    tasks = [(task, _by_comparison(leading(rows))) for task, rows in differences.groupby("task", sort=False)]
    if not tasks:
        return None
    heights = [int(rows["place"].max()) + 1 for _, rows in tasks]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.35 * len(tasks) + ROW * sum(heights)), layout="constrained")
    panels = figure.subplots(len(tasks), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (task, rows) in zip(panels, tasks, strict=True):
        _draw_differences(axes, rows, methods)
        axes.set_title(f"{transfers[task]}, {_seeds(rows['n'])}", fontsize="medium")
    panels[-1].set_xlabel("Difference of test accuracy (points)", fontsize="small")
    _difference_legend(figure, pd.concat([rows for _, rows in tasks]))
    return figure


def leading(differences: pd.DataFrame) -> pd.DataFrame:
    """The rows of the method that is compared first, as the method or, where no other row is, as the baseline."""
    return differences.loc[differences["method"] == differences["method"].iloc[0]]


def build_figures(tables: Mapping[str, Table]) -> dict[str, Figure]:
    """The figure `{task}-accuracy` of every task, and with comparisons `{task}-differences` and `answer`.

    `tables` comes from `tables.build_tables`.
    """
    accuracy, differences = tables["accuracy"].numbers, tables["differences"].numbers
    methods, transfers = list(accuracy["method"].unique()), table_text.transfers(tables["accuracy"])
    figures = {
        f"{task}-accuracy": accuracy_figure(rows, methods, transfers[task])
        for task, rows in accuracy.groupby("task", sort=False)
    }
    for task, rows in differences.groupby("task", sort=False):
        figures[f"{task}-differences"] = difference_figure(rows, methods, transfers[task])
    answer = answer_figure(differences, methods, transfers)
    return figures | ({} if answer is None else {"answer": answer})


def _by_comparison(table: pd.DataFrame) -> pd.DataFrame:
    """Label counts of one comparison together, comparisons in their order; `place` leaves room for headings."""
    groups = table.groupby(["method", "baseline"], sort=False).ngroup()
    rows = table.assign(group=groups).sort_values(["group", "labels"]).reset_index(drop=True)
    return rows.assign(place=rows.index + rows["group"] + 1)


def _draw_differences(axes: Axes, rows: pd.DataFrame, methods: Sequence[str]) -> None:
    usual = rows["n"].max()
    for row in rows.itertuples():
        y, (colour, marker, _) = row.place, method_style(row.method, methods)
        if not row.n:
            axes.annotate("missing", (0, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize="small")
            continue
        low, high, images_low, images_high = (
            100 * np.array([row.low, row.high, row.images_low, row.images_high])
        ).tolist()
        axes.plot([low, high], [y, y], color=colour, linewidth=5, alpha=0.4, solid_capstyle="butt")
        axes.plot([images_low, images_high], [y, y], color="0.15", linewidth=0.9, marker="|", markersize=6)
        text = f"{paper.comparison_name(row.method, row.baseline)}, {table_text.difference_text(row)}"
        name_marks(axes.scatter([100 * row.mean], [y], color=colour, marker=marker, s=30, zorder=3), [text])
        if row.n != usual:
            axes.annotate(f"n = {row.n}", (1, y), xycoords=("axes fraction", "data"), va="center", fontsize="small")
        if not np.isnan(row.paper):
            beside = axes.scatter([100 * row.paper], [y], zorder=3, **PAPER_MARK)
            name_marks(beside, [f"Paper, {row.labels} labels: {table_text.percent(row.paper, signed=True)} points"])
    for row in rows.drop_duplicates("group").itertuples():
        name = paper.comparison_name(row.method, row.baseline)
        place = {"xy": (0.015, row.place - 1), "xycoords": ("axes fraction", "data"), "va": "center"}
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.annotate(name, **place, fontsize="small", fontweight="bold", bbox=box)
        if row.place > 1:
            axes.axhline(row.place - 1.5, color="0.8", linewidth=0.8)
    axes.axvline(0, color="0.3", linewidth=1, zorder=0.9)
    axes.set_yticks(rows["place"], [str(count) for count in rows["labels"]], fontsize="small")
    axes.set_ylim(rows["place"].max() + 0.5, -0.5)
    axes.set_ylabel("Labelled images", fontsize="small")
    axes.tick_params(labelsize="small")
    add_grid(axes, "x")


def _difference_legend(figure: Figure, table: pd.DataFrame) -> None:
    handles = [
        Line2D([], [], color="0.3", marker="o", linestyle="none", label="mean"),
        Line2D([], [], color="0.3", linewidth=5, alpha=0.4, label="95 % over seeds"),
        Line2D([], [], color="0.15", linewidth=0.9, marker="|", label="over seeds and images"),
    ]
    add_legend(figure, handles + [_paper_handle()] * bool(table["paper"].notna().any()), "small")


def _paper_handle() -> Line2D:
    look = {"marker": "*", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": "0.25", "linestyle": "none"}
    return Line2D([], [], **look, label=PAPER_LABEL)


def _missing(table: pd.DataFrame) -> str:
    cells = table[table["n"] == 0]
    if len(cells) > 3:
        return f"\n(no results for {len(cells)} of {len(table)} points)"
    names = [f"{paper.method_name(row.method)} at {row.labels}" for row in cells.itertuples()]
    return f"\n(no results: {', '.join(names)})" if names else ""


def _seeds(counts: pd.Series) -> str:
    return f"n = {table_text.extent(counts)} seeds"
