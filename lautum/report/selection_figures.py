"""Plots of a search for hyper-parameters: how accuracy depends on each of them, and on the number of trials.

In the style of `lautum.report.style`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import comb

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from lautum import paper
from lautum.report.style import WIDTH, add_grid, add_legend, method_style
from lautum.report.svg import name_marks

COLUMNS = 3  # panels side by side
KEPT, DROPPED, BEST = "#0072B2", "0.45", "#C44E00"
BUDGET = (
    "How good the best of so many trials is expected to be, over all draws of as many from those that were run; scored "
    "on the first rung, which all of them had. At one trial: the average trial. The lines can only rise, in part by "
    "chance, since each accuracy is that of one or few runs on few images."
)


def sensitivity_figure(trials: pd.DataFrame, transfer: str) -> Figure | None:
    """Validation accuracy of every trial against each hyper-parameter, for one task's and method's rows of trials.csv.

    `transfer` is the task's name for readers.

    Trials that reached the last rung are filled and carry their standard deviation over runs; the winner is a star.
    None for a method whose trials have no values.
    """
    values = pd.DataFrame([parse(text) for text in trials["settings"]], index=trials.index)
    if values.empty:
        return None
    rows = int(np.ceil(len(values.columns) / COLUMNS))
    figure = Figure(figsize=(WIDTH, 1.9 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).flat
    last, best = trials["rung"] == trials["rung"].max(), trials["selected"]
    y, spread = 100 * trials["accuracy"], 100 * trials["sd"]
    groups = [(~last, DROPPED, "o", 16, "stopped early"), (last & ~best, KEPT, "s", 16, "last rung, ± sd")]
    groups += [(best, BEST, "*", 80, "selected")]
    for axes, name in zip(panels, [*values.columns, *[None] * COLUMNS], strict=False):
        if name is None:
            axes.set_visible(False)
            continue
        x = values[name].astype(float)
        for chosen, colour, marker, size, label in groups:
            if not chosen.any():
                continue
            face = "none" if colour == DROPPED else colour
            look = {"marker": marker, "s": size, "facecolor": face, "edgecolor": colour}
            marks = axes.scatter(x[chosen], y[chosen], **look, label=label, zorder=3)
            found = zip(trials["trial"][chosen], y[chosen], x[chosen], strict=True)
            name_marks(marks, [f"{trial}: {reached:.2f} %, {name} {value:g}" for trial, reached, value in found])
            axes.vlines(x[chosen], (y - spread)[chosen], (y + spread)[chosen], color=colour, linewidth=1)
        if x.min() > 0 and x.max() / x.min() > 3:
            axes.set_xscale("log")
            if x.min() >= 1 and x.max() / x.min() < 100:  # powers of ten alone would leave one number or none
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(name.replace("pretrain.", "pre: ").replace("transfer.", "post: "), fontsize="small")
        axes.tick_params(labelsize="small")
        add_grid(axes)
    for row in range(rows):
        figure.axes[row * COLUMNS].set_ylabel("Validation\naccuracy (%)", fontsize="small")
    method = paper.method_name(trials["method"].iloc[0])
    figure.suptitle(f"{transfer}\n{method}: {len(trials)} trials", fontsize="medium")
    add_legend(figure, figure.axes[0].get_legend_handles_labels()[0], "small")
    return figure


def budget_figure(trials: pd.DataFrame, methods: Sequence[str], transfer: str) -> Figure:
    """Expected accuracy of the best of 1, 2, ... trials after the first rung, for one task's rows of trials.csv.

    `methods` are all of the campaign, `transfer` is the task's name for readers.

    The lines can only rise, in part by chance: the best of many noisy accuracies. What they show is how much a method
    owes to its tuning, and how far one method's trials are from another's at the same number of them.
    """
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    for method, rows in trials.groupby("method", sort=False):
        colour, marker, line = method_style(method, [*methods, *trials["method"]])
        expected = 100 * expected_best(rows["first_rung_accuracy"].to_numpy())
        counts, name = np.arange(1, len(expected) + 1), paper.method_name(method)
        axes.plot(counts, expected, color=colour, marker=marker, linestyle=line, ms=4, label=name)
    axes.set_xlabel("Trials (draws from those that were run)")
    axes.set_ylabel("Validation accuracy of the best (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{transfer}\nexpected best after the first rung", fontsize="medium")
    add_grid(axes)
    add_legend(figure, axes.get_legend_handles_labels()[0], "small")
    return figure


def expected_best(accuracies: np.ndarray) -> np.ndarray:
    """Mean of the largest of k of the n `accuracies`, over all subsets of that size, for k = 1 ... n, (n,).

    The expected validation performance of Dodge et al. 2019, drawn without replacement.
    """
    ordered, n = np.sort(accuracies), len(accuracies)
    # The i-th smallest is the largest of comb(i - 1, k - 1) of the comb(n, k) subsets.
    return np.array(
        [sum(comb(i, k - 1) * value for i, value in enumerate(ordered)) / comb(n, k) for k in range(1, n + 1)]
    )


def build_figures(trials: pd.DataFrame, methods: Sequence[str], transfers: Mapping[str, str]) -> dict[str, Figure]:
    """All figures of trials.csv by file name; `transfers` are the tasks' names, the rest as in `budget_figure`."""
    return budget_figures(trials, methods, transfers) | sensitivity_figures(trials, transfers)


def budget_figures(trials: pd.DataFrame, methods: Sequence[str], transfers: Mapping[str, str]) -> dict[str, Figure]:
    """`{task}-budget` for each task of trials.csv, or of several such tables together."""
    return {
        f"{task}-budget": budget_figure(rows, methods, transfers[task])
        for task, rows in trials.groupby("task", sort=False)
    }


def sensitivity_figures(trials: pd.DataFrame, transfers: Mapping[str, str]) -> dict[str, Figure]:
    """`{task}-sensitivity-{method}` for each task and method of trials.csv whose trials have values."""
    figures = {
        f"{task}-sensitivity-{method}": sensitivity_figure(rows, transfers[task])
        for (task, method), rows in trials.groupby(["task", "method"], sort=False)
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def parse(text: str) -> dict[str, float]:
    """The numbers in the column `settings` of trials.csv, {"pretrain.weight": 0.1}; words and lists are left out."""
    values = {}
    for part in text.split(", "):
        with suppress(ValueError):
            name, value = part.rsplit(" ", 1)
            values[name] = float(value)
    return values
