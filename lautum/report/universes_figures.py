"""Figures of a campaign over universes, in the style of `lautum.report.style`. A mark tells what was chosen there."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lautum import paper
from lautum.report.style import WIDTH, add_grid, add_legend, method_style
from lautum.report.svg import name_marks
from lautum.results import specifications
from lautum.results.multiverse import CLAIM, Analysis
from lautum.results.universes import MAPS

ABOVE, BELOW, OPEN = "#0072B2", "#C44E00", "0.45"
INTERVALS = {
    ABOVE: "#66AAD1",
    BELOW: "#DC9566",
    OPEN: "0.67",
}  # paler, but opaque: only lines that nothing shines through are joined on a page
# Of Standard at all label counts: colour, filling, marker.
SIDES = {
    "Standard above the paper": ("#C44E00", "#C44E00", "^"),
    "below": ("black", "black", "v"),
    "above and below": ("0.45", "white", "D"),
}


def build_figures(analysis: Analysis, names: Sequence[str]) -> dict[str, Figure]:
    """Those of `lautum.results.universes.figure_names`, by name."""
    figures = {
        "curve": curve_figure,
        "levels": levels_figure,
        "distance": distance_figure,
        "others": others_figure,
        "mechanism": mechanism_figure,
    }
    for one, other in MAPS:
        figures[f"map-{one}-{other}"] = partial(map_figure, one=one, other=other)
    return {name: figure(analysis) for name, figure in figures.items() if name in names}


def describe(
    analysis: Analysis, universes: Sequence[int], budgets: Sequence[int | None], in_full: bool = True
) -> list[str]:
    """Of each specification, its number and budget and, `in_full`, what was chosen, for a reader who points at it."""
    texts = []
    for universe, budget in zip(universes, budgets, strict=True):
        text = f"universe {universe}" + (f", {budget} steps" if budget is not None else "")
        levels = ", ".join(f"{name}: {_short(level)}" for name, level in analysis.chosen[universe].items())
        texts.append(f"{text}; {levels}" if in_full else text)
    return texts


def _short(level: str | float) -> str:
    return level if isinstance(level, str) else f"{level:g}"


def choices(analysis: Analysis, table: pd.DataFrame) -> pd.DataFrame:
    """What each row of a table with universe and budget chose, as categories in their order; the budget is one."""
    levels = analysis.levels.loc[table["universe"]].set_index(table.index)
    levels = levels.assign(budget=pd.Categorical(table["budget"], analysis.budgets))
    return levels.apply(lambda column: column.cat.remove_unused_categories())


def _curve(axes: Axes, table: pd.DataFrame, analysis: Analysis, pair: tuple[str, str]) -> pd.DataFrame:
    """Gains in their order, with intervals; returns the table in that order."""
    table = table.sort_values(["gain", "universe", "budget"]).reset_index(drop=True)
    colours = np.select([table["low"] > 0, table["high"] < 0], [ABOVE, BELOW], OPEN)
    for colour, marker in ((ABOVE, "^"), (BELOW, "v"), (OPEN, "o")):
        some = table[colours == colour]
        axes.vlines(some.index, 100 * some["low"], 100 * some["high"], color=INTERVALS[colour], linewidth=0.5)
        marks = axes.scatter(some.index, 100 * some["gain"], s=9, color=colour, marker=marker, linewidth=0, zorder=3)
        what = describe(analysis, list(some["universe"]), list(some["budget"]), in_full=pair == CLAIM)
        name_marks(marks, [f"{100 * gain:+.1f} points; {text}" for gain, text in zip(some["gain"], what, strict=True)])
    axes.axhline(0, color="black", linewidth=0.8)
    largest = 100 * table["gain"].abs().max()
    axes.set_ylim(-1.6 * largest - 1, 1.6 * largest + 1)  # the intervals of three seeds can be as wide as the page
    axes.set_title(paper.comparison_name(*pair), loc="left", fontsize="small")
    axes.set_ylabel("Difference (points)", fontsize="small")
    add_grid(axes, "y")
    return table


def curve_figure(analysis: Analysis) -> Figure:
    """The claim's specification curve, mean over label counts, and under it what each specification chose."""
    means = analysis.means[CLAIM]
    rows = [(name, level) for name, column in choices(analysis, means).items() for level in column.cat.categories]
    figure = Figure(figsize=(WIDTH, 2.2 + 0.115 * len(rows)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.8, 0.115 * len(rows)])
    table = _curve(above, means, analysis, CLAIM)
    chosen = choices(analysis, table)
    for number, (name, level) in enumerate(rows):
        places = table.index[chosen[name] == level]
        below.vlines(places, number - 0.35, number + 0.35, color="black", linewidth=0.6)
    below.set_yticks(range(len(rows)), [f"{name}: {level}" for name, level in rows], fontsize=5)
    below.set_ylim(len(rows) - 0.5, -0.5)
    below.xaxis.get_major_locator().set_params(integer=True)  # few universes: no half places
    below.set_xlabel("Universe and budget, in order of the gain")
    names = [name for name, _ in rows]
    for number in range(1, len(rows)):
        if names[number] != names[number - 1]:
            below.axhline(number - 0.5, color="0.8", linewidth=0.5)
    return figure


def others_figure(analysis: Analysis) -> Figure:
    """The curves of all other comparisons, mean over label counts."""
    pairs = [pair for pair in analysis.comparisons if pair != CLAIM]
    figure = Figure(figsize=(WIDTH, 1.5 * len(pairs) + 0.4), layout="constrained")
    for axes, pair in zip(figure.subplots(len(pairs), 1, squeeze=False).flat, pairs, strict=True):
        _curve(axes, analysis.means[pair], analysis, pair)
        axes.set_xticks([])
    figure.axes[-1].set_xlabel("Universe and budget, each curve in its own order")
    return figure


def distance_figure(analysis: Analysis) -> Figure:
    """How near Standard is to the paper, and on which side of its figures, against the gain; mean over label counts."""
    table = analysis.means[CLAIM].merge(analysis.distances, on=["universe", "budget"])
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots()
    above, below, between = SIDES
    sides = table["above"].map({len(analysis.figures): above, 0: below}).fillna(between)
    for side, (colour, filling, marker) in SIDES.items():
        some = table[sides == side]
        marks = axes.scatter(
            100 * some["distance"],
            100 * some["gain"],
            s=14,
            facecolor=filling,
            edgecolor=colour,
            marker=marker,
            linewidth=0.7,
            zorder=3,
            label=side,
        )
        name_marks(marks, describe(analysis, list(some["universe"]), list(some["budget"])))
    gains = [row["lautum"] - row["standard"] for row in analysis.figures.values()]
    if not np.isnan(gains).any():
        claimed = 100 * float(np.mean(gains))
        axes.axhline(claimed, color="black", linestyle="--", linewidth=1)
        place = {"va": "bottom", "ha": "right", "transform": axes.get_yaxis_transform()}
        axes.text(0.99, claimed, "the paper’s gain", fontsize="small", **place)
        low, high = axes.get_ylim()
        axes.set_ylim(low, max(high, claimed + 0.1 * (claimed - low)))  # room for the words
    axes.axvspan(0, 100 * specifications.NEAR, color="0.93", zorder=0)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel("Standard’s distance to the paper (points)")
    axes.set_ylabel("Lautum − Standard (points)")
    add_grid(axes)
    add_legend(figure, axes.get_legend_handles_labels()[0], "small")
    return figure


def levels_figure(analysis: Analysis) -> Figure:
    """The mean gain at each level of each factor, with the interval over pre-transfer choices."""
    table, rows = analysis.means[CLAIM], []
    for name, column in choices(analysis, table).items():
        for level in column.cat.categories:
            some = table[(column == level).to_numpy()]
            means = some.groupby(some["universe"] // analysis.design.crossed)["gain"].mean().to_numpy()
            rows.append([f"{name}: {level}", means.mean(), *specifications.mean_interval(means)])
    figure = Figure(figsize=(WIDTH, 0.17 * len(rows) + 0.7), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))
    texts, means, low, high = (list(column) for column in zip(*rows, strict=True))
    axes.hlines(places, 100 * np.array(low), 100 * np.array(high), color="0.45", linewidth=1)
    axes.scatter(100 * np.array(means), places, s=14, color="black", zorder=3)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, texts, fontsize=5.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    largest = 100 * np.abs(means).max()
    axes.set_xlim(-2 * largest - 1, 2 * largest + 1)  # an interval over two choices can be as wide as the page
    axes.set_xlabel("Lautum − Standard (points)")
    add_grid(axes, "x")
    return figure


def map_figure(analysis: Analysis, one: str, other: str) -> Figure:
    """The mean gain at each pair of levels of two factors; "budget" is one."""
    table = analysis.means[CLAIM]
    chosen = choices(analysis, table)
    both = table.assign(row=chosen[one], column=chosen[other])
    grid = 100 * both.pivot_table(index="row", columns="column", values="gain", observed=False)
    figure = Figure(figsize=(WIDTH, 0.4 * len(grid) + 1.0), layout="constrained")
    axes = figure.subplots()
    largest = float(np.nanmax(np.abs(grid.to_numpy())))
    axes.pcolormesh(grid.to_numpy(), cmap="PuOr", vmin=-largest, vmax=largest, edgecolor="white")
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        if not np.isnan(value):
            dark = abs(value) > 0.6 * largest
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:+.1f}".replace("-", "−"),
                ha="center",
                va="center",
                fontsize="small",
                color="white" if dark else "black",
            )
    axes.set_xticks(np.arange(grid.shape[1]) + 0.5, [str(level) for level in grid.columns])
    axes.set_yticks(np.arange(len(grid)) + 0.5, [str(level) for level in grid.index])
    axes.set_xlabel("post-transfer steps" if other == "budget" else other)
    axes.set_ylabel(one)
    axes.tick_params(length=0)
    return figure


def mechanism_figure(analysis: Analysis) -> Figure:
    """What Lautum's pre-training leaves, beside Standard's, against the gain; of each universe, mean over the rest."""
    left = analysis.left
    gain = analysis.means[CLAIM].groupby("universe")["gain"].mean()
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    style = method_style(CLAIM[0], [CLAIM[0]])
    for axes, (measure, label, factor) in zip(
        figure.subplots(1, 2, sharey=True),
        (("logit_scale", "Logit scale", 1), ("source_accuracy", "Source accuracy (points)", 100)),
        strict=True,
    ):
        change = factor * (left.loc[CLAIM[0], measure] - left.loc[CLAIM[1], measure])[gain.index]
        marks = axes.scatter(change, 100 * gain, s=14, color=style.colour, marker=style.marker, linewidth=0, zorder=3)
        name_marks(marks, describe(analysis, list(gain.index), [None] * len(gain)))
        axes.axhline(0, color="black", linewidth=0.8)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel(f"{label}:\nLautum − Standard", fontsize="small")
        add_grid(axes)
    figure.axes[0].set_ylabel("Gain after post-transfer\n(points)", fontsize="small")
    return figure
