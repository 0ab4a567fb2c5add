"""Two campaigns cell by cell: accuracies, paired where they can be, and the settings in which they differ."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lautum.errors import listed
from lautum.results import statistics
from lautum.results.collected import RUN, Results

CELL = RUN[:-1]
# Without these in common, runs of one seed are no pair: other images were labelled or evaluated.
PAIRED = ["split_sha256", "source_train_sha256", "target_train_sha256", "target_eval_sha256", "part"]
CIRCUMSTANCES = ["device", "cpu", "threads", "python", "torch", "commit"]
BOOTSTRAP_SEED = 0


def cells(first: Results, second: Results) -> pd.DataFrame:
    """One row for each cell that either campaign has, in the order of the first.

    Columns: task, method, labels; n_first and n_second (runs), mean_first and mean_second (accuracies, NaN without
    runs); n (seeds that pair: in both, with the same labelled and evaluated images), same (of these, with the same
    predictions), and of the differences second minus first over them mean, low and high (95 % t interval) and p (sign-
    flip test), NaN without pairs.
    """
    rng, rows = np.random.default_rng(BOOTSTRAP_SEED), []
    groups = [{cell: runs for cell, runs in some.runs.groupby(CELL, sort=False)} for some in (first, second)]
    for cell in dict.fromkeys([*groups[0], *groups[1]]):
        runs = [group[cell] if cell in group else first.runs.head(0) for group in groups]
        pairs = runs[0].merge(runs[1], on=["seed", *PAIRED], suffixes=("_first", "_second"))
        right = [
            results.correct(some[some["seed"].isin(pairs["seed"])].sort_values("seed"))
            if len(pairs)
            else np.empty((0, 1), dtype=bool)
            for results, some in zip((first, second), runs, strict=True)
        ]
        paired = statistics.paired_comparison(right[1], right[0], rng)
        rows.append(
            {
                **dict(zip(CELL, cell, strict=True)),
                "n_first": len(runs[0]),
                "n_second": len(runs[1]),
                "mean_first": runs[0]["accuracy"].mean(),
                "mean_second": runs[1]["accuracy"].mean(),
                "n": paired.n,
                "same": int((pairs["predictions_sha256_first"] == pairs["predictions_sha256_second"]).sum()),
                **{name: getattr(paired, name) for name in ("mean", "low", "high", "p")},
            }
        )
    return pd.DataFrame(rows)


def settings(first: Results, second: Results) -> pd.DataFrame:
    """The settings that differ in cells that both campaigns have, one row for each cell and name.

    Columns: task, method, labels, name, first, second (values as JSON; None: there is no such setting).
    """
    values, rows = [_values(results) for results in (first, second)], []
    for cell in values[0].keys() & values[1].keys():
        before, after = values[0][cell], values[1][cell]
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name):
                rows.append((*cell, name, before.get(name), after.get(name)))
    rows.sort(key=lambda row: [list(values[0]).index(row[:3]), row[3]])
    return pd.DataFrame(rows, columns=[*CELL, "name", "first", "second"])


def _values(results: Results) -> dict[tuple, dict[str, str]]:
    """Of each cell, the value of each setting; several of them where its runs were not all made with the same."""
    found: dict[tuple, dict[str, str]] = {}
    for (*cell, name), some in results.settings.groupby([*CELL, "name"], sort=False)["value"]:
        found.setdefault(tuple(cell), {})[name] = " or ".join(some.unique())
    return found


def circumstances(first: Results, second: Results) -> dict[str, tuple[list[str], list[str]]]:
    """Of machine, versions and data, what the runs of the same cells and seeds differ in: the values in either."""
    both = first.runs.merge(second.runs, on=RUN, suffixes=("_first", "_second"))
    found = {}
    for column in [*CIRCUMSTANCES, *PAIRED]:
        values = [list(map(str, both[f"{column}{which}"].unique())) for which in ("_first", "_second")]
        if set(values[0]) != set(values[1]):
            found[column] = (values[0], values[1])
    return found


def text(first: Results, second: Results, names: Sequence[str]) -> str:
    """The comparison for a terminal; `names` are those of the campaigns."""
    lines, table = [f"first: {names[0]}, second: {names[1]}", ""], cells(first, second)
    in_both = (table["n_first"] > 0) & (table["n_second"] > 0)
    lines += [_cell_text(table[in_both]), ""] if in_both.any() else ["no cell is in both", ""]
    for which in ("first", "second"):
        alone = table[~in_both & (table[f"n_{which}"] > 0)]
        for (task, *_), some in alone.groupby(["task"], sort=False):
            lines.append(f"only in the {which}: {task} {_where(some)}")
    if (in_both & (table["n"] == 0)).any():
        lines.append("without a difference: no seed in common with the same labelled and evaluated images")
    if in_both.any():
        lines += ["", *_setting_lines(first, second)]
    for column, (before, after) in circumstances(first, second).items():
        lines.append(f"runs differ in {column}: {_short(before)} -> {_short(after)}")
    return "\n".join(lines)


def _cell_text(table: pd.DataFrame) -> str:
    shown = table[CELL].copy()
    for name in ("first", "second"):
        shown[f"{name} %"] = [
            f"{100 * row[f'mean_{name}']:.2f} ({row[f'n_{name}']})" if row[f"n_{name}"] else ""
            for _, row in table.iterrows()
        ]
    shown["difference"] = [f"{100 * value:+.2f}" if value == value else "" for value in table["mean"]]
    shown["95 % CI"] = [
        f"[{100 * row.low:+.2f}, {100 * row.high:+.2f}]" if row.low == row.low else "" for row in table.itertuples()
    ]
    shown["p"] = ["" if value != value else "<0.001" if value < 0.0005 else f"{value:.3f}" for value in table["p"]]
    shown["pairs"] = table["n"]
    shown["same predictions"] = table["same"]
    caption = (
        "Mean accuracy in percent (runs); second minus first in percentage points, over the seeds that pair, with t "
        "interval\nand sign-flip p, neither adjusted for the number of cells."
    )
    return f"{shown.to_string(index=False)}\n\n{caption}"


def _setting_lines(first: Results, second: Results) -> list[str]:
    """A line for each difference, with the cells that have it."""
    lacking = [name for name, results in (("first", first), ("second", second)) if results.settings.empty]
    if lacking:
        return [
            f"the {' and the '.join(lacking)} has no settings.json: `lautum collect` with its configuration writes it, "
            "and this then says which settings differ"
        ]
    differing = settings(first, second)
    if differing.empty:
        return ["no setting differs in the cells in common"]
    lines = []
    for (name, *values), some in differing.fillna("(none)").groupby(["name", "first", "second"], sort=False):
        where = "; ".join(f"{task} {_where(group)}" for task, group in some.groupby("task", sort=False))
        lines.append(f"setting {name}: {values[0]} -> {values[1]}  ({where})")
    return lines


def _where(some: pd.DataFrame) -> str:
    """The methods with their label counts, those together that have the same ones."""
    methods: dict[tuple[int, ...], list[str]] = {}
    for method, cells in some.groupby("method", sort=False):
        methods.setdefault(tuple(sorted(cells["labels"])), []).append(str(method))
    return " and ".join(f"{listed(names)} at {listed(map(str, labels))}" for labels, names in methods.items())


def _short(values: list[str]) -> str:
    return listed((value[:12] if len(value) >= 40 else value for value in values), most=3)
