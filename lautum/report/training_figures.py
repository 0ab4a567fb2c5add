"""Plots of how the networks were trained and of what they get wrong; in the style of `lautum.report.style`."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lautum import paper
from lautum.report.style import WIDTH, add_grid, add_legend, method_style
from lautum.results.collected import Results

# Logged quantity: axis label. A panel is drawn for each that a curve of the task has.
PRETRAIN_PANELS = {
    "source_cross_entropy": "Source cross-entropy (nats)",
    "source_accuracy": "Source batch accuracy (%)",
    "lautum_information": "Lautum information (nats)",
    "mutual_information": "Mutual information (nats)",
    "rho_max": "Largest canonical correlation",
}
LOSS = {"loss": "Training loss (nats)"}  # where there is nothing else, as of an objective of somebody's own


def pretrain_figure(results: Results, task: str, transfer: str, methods: list[str]) -> Figure | None:
    """Source loss and accuracy, Lautum information and rho_max over the pre-transfer stage; None without curves.

    One line per objective: mean over seeds and label counts, with the range between them shaded.
    """
    curves = results.curves[(results.curves["task"] == task) & (results.curves["stage"] == "pretrain")]
    if curves.empty:
        return None
    titles = {name: title for name, title in PRETRAIN_PANELS.items() if name in curves and curves[name].notna().any()}
    panels = titles or LOSS
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(WIDTH, 2.3 * rows + 0.7), layout="constrained")
    for axes, name in zip(figure.subplots(rows, 2, squeeze=False).flat, [*panels, None], strict=False):
        if name is None:
            axes.set_visible(False)
            continue
        for shared, lines in curves.dropna(subset=name).groupby("methods", sort=False):
            scale = 100 if name.endswith("accuracy") else 1
            _lines(axes, lines, name, methods, shared, scale)
        axes.set_ylabel(panels[name], fontsize="small")
        axes.set_xlabel("Optimiser steps", fontsize="small")
    _legend(figure)
    figure.suptitle(
        f"{transfer}, pre-transfer stage\nmoving mean over seeds and label counts, and their range", fontsize="medium"
    )
    return figure


def transfer_figure(results: Results, task: str, transfer: str, methods: list[str]) -> Figure | None:
    """Mean training loss against the share of the post-transfer stage, a panel per label count; None without curves.

    Losses with a consistency term are averaged over all target images and do not compare with the others: they have a
    row of their own. A mean that Lautum information makes negative has no place on the logarithmic axis: a gap.
    """
    curves = results.curves[(results.curves["task"] == task) & (results.curves["stage"] == "transfer")]
    if curves.empty:
        return None
    apart = set(curves.loc[curves["consistency"].notna(), "methods"]) if "consistency" in curves else set()
    rows = [part for part in (set(curves["methods"]) - apart, apart) if part]
    counts = sorted(curves["labels"].unique(), key=int)
    figure = Figure(figsize=(WIDTH, 1.4 + 2 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(counts), sharey="row", sharex=True, squeeze=False)
    for number, (part, row) in enumerate(zip(rows, panels, strict=True)):
        for axes, count in zip(row, counts, strict=True):
            chosen = curves[(curves["labels"] == count) & curves["methods"].isin(part)]
            for shared, lines in chosen.groupby("methods", sort=False):
                # The stages differ in length; all begin and end together on this axis.
                lines = lines.assign(step=(100 * lines["step"] / lines["step"].max()).round(1))
                _lines(axes, lines, "loss", methods, shared, shaded=False)
            if number == 0:
                axes.set_title(f"{count} labels", fontsize="medium")
        if any((line.get_ydata() > 0).any() for axes in row for line in axes.lines):
            row[0].set_yscale("log", nonpositive="mask")
        row[0].set_ylabel(
            "With consistency\nterm (nats)" if part == apart else "Training loss\n(nats)", fontsize="small"
        )
    for axes in panels[-1]:
        axes.set_xlabel("Share of the stage (%)", fontsize="small")
    _legend(figure)
    figure.suptitle(f"{transfer}, post-transfer stage\nmoving mean over seeds", fontsize="medium")
    return figure


def confusion_figure(
    runs: pd.DataFrame, results: Results, task: str, transfer: str, pair: tuple[str, str]
) -> Figure | None:
    """What one method predicts more or less often than another, at the smallest label count, mean over common seeds.

    Each row is a true class; cells are differences of the shares of it that are predicted as each class, in points.
    `runs` are the rows of one task of `tables.grid`; None without common seeds.
    """
    done = runs.dropna(subset="accuracy")
    done = done[done["labels"] == runs["labels"].min()]
    seeds = set.intersection(*(set(done.loc[done["method"] == method, "seed"]) for method in pair))
    if not seeds:
        return None
    classes = results.classes[task]
    method, baseline = (_mean_confusion(done[done["method"] == name], seeds, results, len(classes)) for name in pair)
    difference = 100 * (method - baseline)
    figure = Figure(figsize=(WIDTH, 4.9), layout="constrained")
    axes = figure.subplots()
    limit = max(1.0, np.abs(difference).max())
    image = axes.imshow(difference, vmin=-limit, vmax=limit, cmap="PuOr")
    for (row, column), value in np.ndenumerate(difference):
        if abs(value) >= 0.5:
            colour = "white" if abs(value) > 0.6 * limit else "black"
            text = f"{value:+.0f}".replace("-", "−")
            axes.annotate(text, (column, row), ha="center", va="center", fontsize="small", color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize="small")
    axes.set_yticks(range(len(classes)), classes, fontsize="small")
    axes.set_ylabel("True class")
    axes.set_xlabel("Predicted class")
    figure.colorbar(image, ax=axes, label="Points of the true class", shrink=0.7)
    names = paper.comparison_name(*pair)
    axes.set_title(
        f"{transfer}, {runs['labels'].min()} labelled images\n{names}, n = {len(seeds)} seeds", fontsize="medium"
    )
    return figure


def _mean_confusion(cells: pd.DataFrame, seeds: set[int], results: Results, classes: int) -> np.ndarray:
    matrices = [
        confusion(results.truth(cell), results.predicted(cell), classes)
        for cell in cells.itertuples()
        if cell.seed in seeds
    ]
    return np.mean(matrices, axis=0)


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
    height, width = images.shape[-2:]
    # One picture with a column for each class: a picture for each image would take ten times as long.
    mosaic = np.full((rows, height + 1, len(classes), width + 1, images.shape[1]), 255, dtype=np.uint8)
    for number in range(len(classes)):
        chosen = images[labels == number].transpose(0, 2, 3, 1)
        mosaic[: len(chosen), :height, number, :width] = chosen
    picture = mosaic.reshape(rows * (height + 1), len(classes) * (width + 1), -1).squeeze(
        axis=-1 if images.shape[1] == 1 else ()
    )
    figure = Figure(figsize=(WIDTH, WIDTH * rows / len(classes) + 0.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none")
    axes.set_xticks(np.arange(len(classes)) * (width + 1) + width / 2, classes, fontsize="small")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return figure


def build_figures(
    runs: pd.DataFrame, results: Results, transfers: Mapping[str, str], pair: tuple[str, str] | None
) -> dict[str, Figure]:
    """The figures `{task}-examples`, `-pretrain`, `-transfer`, `-confusion` for which there is something to show.

    `runs` comes from `tables.grid`, `transfers` are the tasks' names for readers; the confusion is that of `pair`.
    """
    figures = {}
    methods = list(runs["method"].unique())
    for task, rows in runs.groupby("task", sort=False):
        names = task, transfers[task]
        figures[f"{task}-examples"] = examples_figure(results, task)
        figures[f"{task}-pretrain"] = pretrain_figure(results, *names, methods)
        figures[f"{task}-transfer"] = transfer_figure(results, *names, methods)
        figures[f"{task}-confusion"] = confusion_figure(rows, results, *names, pair) if pair else None
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
    colour, marker, line = method_style(names[0], methods)
    by_step = scale * curves.groupby("step")[name].agg(["mean", "min", "max"])
    # Over a tenth of the stage, fewer points at its ends: single batches would be all that is seen.
    smooth = by_step.rolling(max(1, len(by_step) // 10), center=True, min_periods=1).mean()
    label = ", ".join(paper.method_name(method) for method in names)
    every = max(1, len(smooth) // 6)
    style = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4, "markevery": every}
    axes.plot(smooth.index, smooth["mean"], **style, linewidth=1.5, label=label)
    if shaded:
        axes.fill_between(smooth.index, smooth["min"], smooth["max"], color=colour, alpha=0.12, linewidth=0)
    add_grid(axes)
    axes.tick_params(labelsize="small")


def _legend(figure: Figure) -> None:
    handles = {}
    for axes in figure.axes:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    add_legend(figure, list(handles.values()), "small")
