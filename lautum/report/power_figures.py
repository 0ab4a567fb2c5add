"""Plots of what a design could have found; in the style of `lautum.report.style`."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lautum.report import table_text, tables
from lautum.report.style import WIDTH, add_grid, add_legend

FINE = np.concatenate([np.arange(0, 40), np.arange(40, 101, 5)]) / 1000  # true differences
UNKNOWN = "No comparison has two seeds that differ yet."
LINES = {
    "t": ("found by the t test", {"color": "#000000", "linestyle": "-", "linewidth": 1.6}),
    "sign_flip": ("found by the sign-flip test", {"color": "#C44E00", "linestyle": (0, (5, 2)), "linewidth": 1.6}),
    "within_2": ("called equivalent within 2 points", {"color": "#0072B2", "linestyle": "-.", "linewidth": 1.4}),
    "within_1": ("within 1 point", {"color": "#00856A", "linestyle": ":", "linewidth": 1.8}),
}


def build_figures(differences: pd.DataFrame, transfers: dict[str, str]) -> dict[str, Figure]:
    """The figure `{task}-power` of every task with comparisons; arguments as in `figures`."""
    curves = tables.power_table(differences, FINE)
    return {
        f"{task}-power": power_figure(curves[curves["task"] == task], transfers[task])
        for task in differences["task"].unique()
    }


def power_figure(curves: pd.DataFrame, transfer: str) -> Figure:
    """Power against the true difference, a panel for each label count, for the rows of one task of `power_table`.

    Without rows a figure that says so: which figures there are must not depend on results.
    """
    if curves.empty:
        figure = Figure(figsize=(WIDTH, 1), layout="constrained")
        figure.suptitle(f"{transfer}\n{UNKNOWN}", fontsize="medium")
        return figure
    counts = sorted(curves["labels"].unique())
    columns = min(3, len(counts))
    rows = -(-len(counts) // columns)
    figure = Figure(figsize=(WIDTH, 1.6 + 1.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(counts) :]:
        axes.set_visible(False)
    for axes, count in zip(panels.flat, counts, strict=False):
        some = curves[curves["labels"] == count]
        for name, (label, look) in LINES.items():
            axes.plot(100 * some["difference"], 100 * some[name], label=label, **look)
        axes.set_title(f"{count} labels, sd {100 * some['sd'].iloc[0]:.1f}", fontsize="small")
        axes.set_xticks(range(0, 11, 2))
        axes.set_yticks(range(0, 101, 20))
        axes.set_xlim(0, 10)
        axes.set_ylim(-2, 102)
        axes.tick_params(labelsize="small")
        add_grid(axes)
    for axes in panels[-1]:
        axes.set_xlabel("True difference\n(points)", fontsize="small")
    for axes in panels[:, 0]:
        axes.set_ylabel("Probability (%)", fontsize="small")
    comparisons = curves["comparisons"].iloc[0]
    over = f" over {comparisons} comparisons" if comparisons > 1 else ""
    figure.suptitle(f"{transfer}\n{table_text.extent(curves['n'])} paired seeds, 5 %{over}", fontsize="medium")
    add_legend(figure, panels[0, 0].get_legend_handles_labels()[0], "small")
    return figure
