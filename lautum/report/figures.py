"""Plots of the tables: accuracy against number of labels, and paired differences."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lautum import paper
from lautum.report.style import STYLES, WIDTH, add_legend
from lautum.report.tables import Table

PAPER_LABEL = "paper (one run)"


def accuracy_figure(table: pd.DataFrame, part: str = "test", title: str = "") -> Figure:
    """Accuracy against number of labelled images, one line per method, for the rows of one task of `accuracy_table`."""
    labels = sorted(table["labels"].unique())
    methods = list(table["method"].unique())
    spacing = 0.6 / max(len(methods), 5)
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots()
    for number, (method, rows) in enumerate(table.groupby("method", sort=False)):
        colour, marker, line = STYLES[number % len(STYLES)]
        # Side by side, so that the intervals of the methods and the paper's points do not hide each other.
        x = rows["labels"].map(labels.index) + spacing * (number - (len(methods) - 1) / 2)
        mean, half_width = 100 * rows["mean"], 100 * (rows["high"] - rows["mean"])
        style = {"color": colour, "marker": marker, "markersize": 6}
        axes.errorbar(x, mean, half_width, linestyle=line, capsize=3, label=paper.method_name(method), **style)
        axes.plot(x + spacing / 2, 100 * rows["paper"], linestyle="none", markerfacecolor="none", **style)
    handles, _ = axes.get_legend_handles_labels()
    if table["paper"].notna().any():
        hollow = {"marker": "o", "markersize": 6, "markerfacecolor": "none", "color": "0.3", "linestyle": "none"}
        handles.append(Line2D([], [], **hollow, label=PAPER_LABEL))
    axes.set_xticks(range(len(labels)), [str(count) for count in labels])
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_xlabel(f"Labelled target images{_missing(table)}")
    axes.set_ylabel(f"Target {part} accuracy (%)")
    axes.set_title(f"{title}\nmean and 95 % t interval, {_seeds(table['n'])}")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    add_legend(figure, handles)
    return figure


def difference_figure(table: pd.DataFrame, methods: list[str], part: str = "test") -> Figure:
    """Forest plot of the paired differences, for the rows of one task of `difference_table`.

    A row is marked as its baseline is in `accuracy_figure`; `methods` are all methods in the order they have there.
    """
    figure = Figure(figsize=(WIDTH, max(3, 1.8 + 0.3 * len(table))), layout="constrained")
    axes = figure.subplots()
    names = []
    for y, row in enumerate(table.itertuples()):
        colour, marker, _ = STYLES[methods.index(row.baseline) % len(STYLES)]
        mean, low, high = 100 * np.array([row.mean, row.low, row.high])
        axes.plot([low, high], [y, y], color=colour, linewidth=2)
        axes.plot([100 * row.images_low, 100 * row.images_high], [y - 0.22, y - 0.22], color=colour, linewidth=0.8)
        axes.plot(mean, y, color=colour, marker=marker, linestyle="none")
        axes.plot(100 * row.paper, y + 0.22, color=colour, marker=marker, markerfacecolor="none", linestyle="none")
        note = f"n = {row.n}" if row.n else "missing"
        axes.annotate(note, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize="small")
        names.append(f"{paper.comparison_name(row.method, row.baseline)}, {row.labels}")
    for y in np.flatnonzero(table["labels"].to_numpy()[1:] != table["labels"].to_numpy()[:-1]):
        axes.axhline(y + 0.5, color="0.8", linewidth=0.8)
    axes.axvline(0, color="0.4", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_ylabel("Comparison,\nlabelled target images")
    axes.set_xlabel(f"Difference of target {part}\naccuracy (percentage points)")
    figure.suptitle(
        f"{table.iloc[0]['task']}\nmean difference over n common seeds; 95 % t interval over\n"
        "seeds (thick), and over seeds and test images (thin)"
    )
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    handles = [Line2D([], [], color="0.3", marker="o", label="measured")]
    if table["paper"].notna().any():
        handles.append(
            Line2D([], [], color="0.3", marker="o", markerfacecolor="none", linestyle="none", label=PAPER_LABEL)
        )
    add_legend(figure, handles)
    return figure


def build_figures(tables: dict[str, Table], part: str) -> dict[str, Figure]:
    """The figure `{task}-accuracy` of every task and `{task}-differences` where comparisons are declared.

    `tables` comes from `tables.build_tables`.
    """
    accuracy, differences = tables["accuracy"].numbers, tables["differences"].numbers
    titles = tables["accuracy"].cells["Source → Target"]
    figures = {
        f"{task}-accuracy": accuracy_figure(rows, part, titles[rows.index[0]])
        for task, rows in accuracy.groupby("task", sort=False)
    }
    for task, rows in differences.groupby("task", sort=False):
        methods = list(accuracy.loc[accuracy["task"] == task, "method"].unique())
        figures[f"{task}-differences"] = difference_figure(rows, methods, part)
    return figures


def _missing(table: pd.DataFrame) -> str:
    cells = table[table["n"] == 0]
    if len(cells) > 3:
        return f"\n(no results for {len(cells)} of {len(table)} points)"
    names = [f"{paper.method_name(row.method)} at {row.labels}" for row in cells.itertuples()]
    return f"\n(no results: {', '.join(names)})" if names else ""


def _seeds(counts: pd.Series) -> str:
    low, high = counts.min(), counts.max()
    return f"n = {low} seeds" if low == high else f"n = {low} to {high} seeds"
