"""Plots of how the networks were trained and of what they get wrong; in the style of `lautum.report.style`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lautum import paper
from lautum.report.style import STYLES, WIDTH, add_legend
from lautum.results.collected import Results

# Logged quantity: axis label. A panel is drawn for each that a curve of the task has.
PRETRAIN_PANELS = {
    "source_cross_entropy": "Source cross-entropy (nats)",
    "source_accuracy": "Source batch accuracy (%)",
    "lautum_information": "Lautum information (nats)",
    "mutual_information": "Mutual information (nats)",
    "rho_max": "Largest canonical correlation",
}


def pretrain_figure(results: Results, task: str, methods: list[str]) -> Figure | None:
    """Source loss and accuracy, Lautum information and rho_max over the pre-transfer stage; None without curves.

    One line per objective: mean over seeds and label counts, with the range between them shaded.
    """
    curves = results.curves[(results.curves["task"] == task) & (results.curves["stage"] == "pretrain")]
    panels = [name for name in PRETRAIN_PANELS if name in curves and curves[name].notna().any()]
    if not panels:
        return None
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(WIDTH, 2.3 * rows + 0.7), layout="constrained")
    for axes, name in zip(figure.subplots(rows, 2, squeeze=False).flat, [*panels, None], strict=False):
        if name is None:
            axes.set_visible(False)
            continue
        for shared, lines in curves.dropna(subset=name).groupby("methods", sort=False):
            scale = 100 if name.endswith("accuracy") else 1
            _lines(axes, lines, name, methods, shared, scale)
        axes.set_ylabel(PRETRAIN_PANELS[name], fontsize="small")
        axes.set_xlabel("Optimiser steps", fontsize="small")
    _legend(figure)
    figure.suptitle(f"{task}, pre-transfer stage\nmean and range over seeds and label counts")
    return figure


def transfer_figure(results: Results, task: str, methods: list[str]) -> Figure | None:
    """Mean training loss against the share of the post-transfer stage, a panel per label count; None without curves.

    A mean that Lautum information makes negative has no place on the logarithmic axis: a gap.
    """
    curves = results.curves[(results.curves["task"] == task) & (results.curves["stage"] == "transfer")]
    if curves.empty:
        return None
    counts = sorted(curves["labels"].unique(), key=int)
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    for axes, count in zip(figure.subplots(1, len(counts), sharey=True, squeeze=False).flat, counts, strict=True):
        for shared, lines in curves[curves["labels"] == count].groupby("methods", sort=False):
            # The stages differ in length; all begin and end together on this axis.
            lines = lines.assign(step=(100 * lines["step"] / lines["step"].max()).round(1))
            _lines(axes, lines, "loss", methods, shared, shaded=False)
        if any((line.get_ydata() > 0).any() for line in axes.lines):
            axes.set_yscale("log", nonpositive="mask")
        axes.set_title(f"{count} labelled images", fontsize="medium")
        axes.set_xlabel("Share of the stage (%)", fontsize="small")
    figure.axes[0].set_ylabel("Training loss (nats)", fontsize="small")
    _legend(figure)
    figure.suptitle(f"{task}, post-transfer stage\nmean over seeds")
    return figure


def confusion_figure(runs: pd.DataFrame, results: Results, task: str) -> Figure | None:
    """Row-normalised confusion matrices at the smallest label count, mean over seeds, one per method.

    `runs` are the rows of one task of `tables.grid`; None without results.
    """
    done = runs.dropna(subset="accuracy")
    if done.empty:
        return None
    count = done["labels"].min()
    done = done[done["labels"] == count]
    methods, classes = list(done["method"].unique()), results.classes[task]
    rows = (len(methods) + 1) // 2
    figure = Figure(figsize=(WIDTH, 2.35 * rows + 1.3), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    for axes, method in zip(panels.flat, [*methods, None], strict=False):
        if method is None:
            axes.set_visible(False)
            continue
        cells = done[done["method"] == method]
        matrix = np.mean(
            [confusion(results.truth(cell), results.predicted(cell), len(classes)) for cell in cells.itertuples()],
            axis=0,
        )
        image = axes.imshow(100 * matrix, vmin=0, vmax=100, cmap="cividis")
        axes.set_title(f"{paper.method_name(method)} (n = {len(cells)})", fontsize="medium")
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize="small")
        axes.set_yticks(range(len(classes)), classes, fontsize="small")
    figure.supylabel("True class")
    figure.supxlabel("Predicted class")
    figure.colorbar(image, ax=panels, label="Share of the true class (%)", shrink=0.6)
    figure.suptitle(f"{task}, {count} labelled images\nmean confusion over n seeds")
    return figure


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """The share of each true class (row) that is predicted as each class (column), (classes, classes).

    `labels` and `predictions` are (N,); a class without images has a row of zeros.
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, predictions), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def examples_figure(results: Results, task: str) -> Figure | None:
    """Labelled target images of the task's first cell, a column for each class; None when none were collected."""
    if f"{task}/images" not in results.examples:
        return None
    images, labels = results.examples[f"{task}/images"], results.examples[f"{task}/labels"]
    classes = results.classes.get(task) or [str(number) for number in range(labels.max() + 1)]
    rows = np.bincount(labels).max()
    figure = Figure(figsize=(WIDTH, WIDTH * rows / len(classes) + 0.5), layout="constrained")
    panels = figure.subplots(rows, len(classes), squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for number, name in enumerate(classes):
        for axes, image in zip(panels[:, number], images[labels == number], strict=False):
            axes.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
        panels[0, number].set_title(name, fontsize="small")
    return figure


def build_training_figures(runs: pd.DataFrame, results: Results) -> dict[str, Figure]:
    """The figures `{task}-examples`, `-pretrain`, `-transfer`, `-confusion` for which there is something to show.

    `runs` comes from `tables.grid`.
    """
    figures = {}
    for task, rows in runs.groupby("task", sort=False):
        methods = list(rows["method"].unique())
        figures[f"{task}-examples"] = examples_figure(results, task)
        figures[f"{task}-pretrain"] = pretrain_figure(results, task, methods)
        figures[f"{task}-transfer"] = transfer_figure(results, task, methods)
        figures[f"{task}-confusion"] = confusion_figure(rows, results, task)
    return {name: figure for name, figure in figures.items() if figure is not None}


def _lines(
    axes: Axes,
    curves: pd.DataFrame,
    name: str,
    methods: list[str],
    shared: str,
    scale: float = 1,
    shaded: bool = True,
) -> None:
    """Mean, and shaded the range, of one logged quantity over the runs of the methods that share their training."""
    names = [method for method in shared.split("+") if method in methods]
    if not names:
        return
    colour, marker, line = STYLES[methods.index(names[0]) % len(STYLES)]
    by_step = scale * curves.groupby("step")[name].agg(["mean", "min", "max"])
    label = ", ".join(paper.method_name(method) for method in names)
    style = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4}
    every = max(1, len(by_step) // 6)
    axes.plot(by_step.index, by_step["mean"], **style, markevery=every, linewidth=1.5, label=label)
    if shaded:
        axes.fill_between(by_step.index, by_step["min"], by_step["max"], color=colour, alpha=0.15, linewidth=0)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize="small")


def _legend(figure: Figure) -> None:
    handles = {}
    for axes in figure.axes:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    add_legend(figure, list(handles.values()))
