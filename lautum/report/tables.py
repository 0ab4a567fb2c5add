"""The paper's tables from evaluated runs: accuracies, paired differences, claims, power, costs; Markdown, CSV, LaTeX.

`results` are collected records and predictions. `expected` lists the (task, method, labels, seed) that the
configuration asks for: other records are left out, and runs without a record are shown as missing. `tasks` maps a
task's name to an object with `source`, `target`, `looks` and `paper_table` (a key of `paper.TABLE_SOURCES`, or None).
Accuracies are fractions in numeric tables and percent in text.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from lautum import paper
from lautum.errors import LautumError
from lautum.files import write_text
from lautum.report import captions, table_text
from lautum.report.table_text import Table
from lautum.results import equivalence, power, statistics
from lautum.results.collected import RUN, Results, require_comparable

BOOTSTRAP_SEED = 0
TRUE = np.arange(11) / 100  # differences whose power is tabulated


def grid(records: pd.DataFrame, expected: Iterable[tuple[str, str, int, int]]) -> pd.DataFrame:
    """One row per expected run, in the order of the tables, with its record; NaN where that is missing.

    Raises LautumError when records cannot be compared: a run twice, different data within a task, or different labelled
    images or kinds of device for the same task, label count and seed.
    """
    expected = pd.DataFrame(list(expected), columns=RUN).astype({"labels": "int64", "seed": "int64"})
    # By task, then labels, then method as the paper does; tasks and methods in the order of the configuration.
    order = {name: pd.Categorical(expected[name], expected[name].unique()) for name in ("task", "method")}
    order = expected.assign(**order).sort_values(["task", "labels", "method", "seed"]).index
    expected = expected.loc[order].reset_index(drop=True)
    records = records.astype({"labels": "int64", "seed": "int64"}).merge(expected, on=RUN)
    twice = records[records.duplicated(RUN)]
    if len(twice):
        raise LautumError(f"two records for {_name(twice[RUN])}, made with different settings; keep one of them")
    require_comparable(records, "run the older ones again")
    return expected.merge(records, on=RUN, how="left")


def accuracy_table(runs: pd.DataFrame, tasks: Mapping) -> pd.DataFrame:
    """Per task, label count and method: mean accuracy, 95 % t interval over seeds, and the paper's figure.

    `runs` comes from `grid`. Columns: task, source, target, labels, method, mean, low, high, run_low and run_high
    (prediction interval for one run), n, n_expected, paper, best (highest mean of its task and label count).
    """
    rows = []
    for (task, labels, method), cell in runs.groupby(["task", "labels", "method"], sort=False):
        accuracies = cell["accuracy"].dropna().to_numpy(dtype=float)
        figure = paper.accuracy(tasks[task].paper_table, method, labels)
        run = statistics.prediction_interval(accuracies)
        rows.append(
            {
                "task": task,
                "source": tasks[task].source,
                "target": tasks[task].target,
                "labels": labels,
                "method": method,
                "mean": accuracies.mean() if len(accuracies) else np.nan,
                **statistics.mean_interval(accuracies)._asdict(),
                "run_low": run.low,
                "run_high": run.high,
                "n": len(accuracies),
                "n_expected": len(cell),
                "paper": figure,
            }
        )
    table = pd.DataFrame(rows)
    means = table["mean"].round(12)  # those of equally many right predictions can differ in the last bit
    table["best"] = means.notna() & (means == means.groupby([table["task"], table["labels"]]).transform("max"))
    return table


def difference_table(
    runs: pd.DataFrame, results: Results, tasks: Mapping, comparisons: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """Per task, label count and declared (method, baseline): `statistics.paired_comparison` over common seeds.

    Columns: task, labels, method, baseline, those of `statistics.PairedComparison`, n_expected, paper (difference of
    the paper's figures), order and size (verdicts), of each of `equivalence.COLUMNS` the p value, and within, the
    `equivalence.smallest` margin. Beside each p, p_t and p of equivalence stands that of Holm, with `_holm` in its
    name, whose family is all comparisons of one task.
    """
    rows = []
    for (task, labels), block in runs.groupby(["task", "labels"], sort=False):
        done = {method: cells.dropna(subset="accuracy") for method, cells in block.groupby("method")}
        for method, baseline in comparisons:
            if method not in done or baseline not in done:
                continue
            common = set(done[method]["seed"]) & set(done[baseline]["seed"])
            correct = [_correct(results, done[name], common) for name in (method, baseline)]
            result = statistics.paired_comparison(*correct, np.random.default_rng(BOOTSTRAP_SEED))
            figures = [paper.accuracy(tasks[task].paper_table, name, labels) for name in (method, baseline)]
            figure, run = figures[0] - figures[1], statistics.Interval(result.run_low, result.run_high)
            rows.append(
                {
                    "task": task,
                    "labels": labels,
                    "method": method,
                    "baseline": baseline,
                    **result._asdict(),
                    "n_expected": int(block[block["method"].isin([method, baseline])]["seed"].duplicated().sum()),
                    "paper": figure,
                    "order": statistics.verdict_on_order(figure, statistics.Interval(result.low, result.high)),
                    "size": statistics.verdict_on_size(figure, run, _spread(tasks[task], labels)),
                    **{
                        equivalence.COLUMNS[name]: equivalence.equivalence_p(result.mean, result.sd, result.n, margin)
                        for name, margin in equivalence.margins(figure).items()
                    },
                }
            )
    columns = ["task", "labels", "method", "baseline", *statistics.PairedComparison._fields]
    columns += ["n_expected", "paper", "order", "size", *equivalence.COLUMNS.values()]
    table = pd.DataFrame(rows, columns=columns)
    for name in ("p", "p_t", *equivalence.COLUMNS.values()):
        adjusted = table.groupby("task")[name].transform(statistics.holm).astype(float)
        table.insert(table.columns.get_loc(name) + 1, f"{name}_holm", adjusted)
    adjusted = {name: f"{column}_holm" for name, column in equivalence.COLUMNS.items()}
    words = [
        equivalence.smallest({name: row[column] for name, column in adjusted.items()}, row["paper"])
        for row in table.to_dict("records")
    ]
    return table.assign(within=pd.Series(words, dtype=object))


def power_table(differences: pd.DataFrame, true: np.ndarray = TRUE) -> pd.DataFrame:
    """Per task and label count: how probably the design finds a true difference, or shows that there is none.

    From `difference_table`, of its rows with a standard deviation. Columns: task, labels, n (the most seeds of a
    comparison), comparisons (of the task), sd (of differences over seeds: root mean square over the comparisons),
    found_t and found_sign_flip (the difference that the test finds in 80 % of experiments, NaN if there is none),
    difference (the true one, each of `true`), t and sign_flip (power), within_1 and within_2 (probability of the
    verdict "practically zero"). All at the level of Holm's first step, 0.05 / comparisons.
    """
    columns = ["task", "labels", "n", "comparisons", "sd", "found_t", "found_sign_flip", "difference", "t", "sign_flip"]
    family = differences.groupby("task").size()
    pieces = [pd.DataFrame(columns=[*columns, "within_1", "within_2"])]
    for (task, labels), rows in differences.dropna(subset="sd").groupby(["task", "labels"], sort=False):
        n, sd, level = int(rows["n"].max()), float(np.sqrt((rows["sd"] ** 2).mean())), equivalence.LEVEL / family[task]
        values = [task, labels, n, int(family[task]), sd]
        values += [sd * power.detectable(test, n, level) for test in (power.t_test, power.sign_flip)]
        values += [true, power.t_test(true / sd, n, level), power.sign_flip(true / sd, n, level)]
        within = {
            equivalence.COLUMNS[name]: power.equivalence(true, sd, n, margin, level)
            for name, margin in equivalence.MARGINS.items()
        }
        pieces.append(pd.DataFrame(dict(zip(columns, values, strict=True)) | within))
    table = pd.concat(pieces[1:] or pieces, ignore_index=True)
    computed = ["found_t", "found_sign_flip", "t", "sign_flip", "within_1", "within_2"]
    # The last digits of these distributions depend on the processor's instructions, and files should not.
    return table.assign(**{name: [float(f"{value:.9g}") for value in table[name]] for name in computed})


def claim_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Per task and comparison, over all label counts: the verdict on the paper's order. From `difference_table`.

    Columns: task, method, baseline, of each of `statistics.ORDERS` the number of label counts, verdict, and of each of
    `equivalence.COLUMNS` at how many unresolved label counts it is the smallest margin within which the difference is
    practically zero. `method` is the one that is better in the paper. Comparisons without figures of the paper, or in
    which now one and now the other is better there, are left out.
    """
    rows = []
    for (task, *pair), cells in differences.dropna(subset="paper").groupby(["task", "method", "baseline"], sort=False):
        if (cells["paper"] > 0).all() or (cells["paper"] < 0).all():
            better, worse = pair if cells["paper"].iloc[0] > 0 else reversed(pair)
            counts = {column: int((cells["order"] == word).sum()) for word, column in statistics.ORDERS.items()}
            verdict = statistics.verdict_on_claim(list(cells["order"]))
            unresolved = cells[cells["order"] == statistics.UNRESOLVED]
            counts |= {"verdict": verdict} | equivalence.counts(unresolved["within"])
            rows.append({"task": task, "method": better, "baseline": worse, **counts})
    columns = ["task", "method", "baseline", *statistics.ORDERS.values(), "verdict", *equivalence.COLUMNS.values()]
    return pd.DataFrame(rows, columns=columns)


def _correct(results: Results, cells: pd.DataFrame, seeds: set[int]) -> np.ndarray:
    """Correct predictions of the runs with these seeds, bool (n, N), in the order of the seeds."""
    cells = cells[cells["seed"].isin(seeds)].sort_values("seed")
    return results.correct(cells) if len(cells) else np.empty((0, 1), dtype=bool)


def _spread(task, labels: int) -> float:
    """Range of the paper's figures over its methods at one label count; NaN where it has none."""
    figures = [paper.accuracy(task.paper_table, method, labels) for method in paper.METHOD_NAMES]
    return max(figures) - min(figures)


def pretraining_table(runs: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Per task and pre-transfer stage: where it ended, means over its last five logged batches, seeds and label counts.

    Columns: task, methods (that share it, joined by "+"), n (stages), source_accuracy, source_cross_entropy,
    lautum_information, rho_max (NaN where they are not logged).
    """
    columns = ["source_accuracy", "source_cross_entropy", "lautum_information", "rho_max"]
    curves = results.curves
    curves = curves[(curves["stage"] == "pretrain") & curves["task"].isin(runs["task"].unique())]
    curves = curves.reindex(columns=[*curves.columns, *(name for name in columns if name not in curves)])
    stages = ["task", "methods", "labels", "seed"]
    last = curves.sort_values("step").groupby(stages, sort=False).tail(5).sort_index()  # in the order of the records
    ends = last.groupby(stages, sort=False)[columns].mean().reset_index().groupby(["task", "methods"], sort=False)
    return ends.agg(n=("seed", "size"), **{name: (name, "mean") for name in columns}).reset_index()


def cost_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Per cell and machine: medians of seconds and images per second over runs, and the largest peak memory.

    Columns: task, labels, method, machine, n, pretrain_seconds, transfer_seconds, evaluate_seconds,
    pretrain_images_per_second, transfer_images_per_second, peak_memory_mb.
    """
    done = runs.dropna(subset="accuracy")
    machine = done["cpu"].where(done["device"] == "cpu", done["device"] + ", " + done["cpu"])
    machine += ", " + done["threads"].astype(int).astype(str) + " thread(s)"
    groups = done.assign(machine=machine).groupby(["task", "labels", "method", "machine"], sort=False)
    medians = ["pretrain_seconds", "transfer_seconds", "evaluate_seconds"]
    medians += ["pretrain_images_per_second", "transfer_images_per_second"]
    return groups.agg(
        n=("seed", "size"), **{name: (name, "median") for name in medians}, peak_memory_mb=("peak_memory_mb", "max")
    ).reset_index()


def build_tables(
    results: Results, expected, tasks: Mapping, comparisons, titles: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Table]:
    """The tables `accuracy`, `differences`, `claims`, `power`, `pretraining` and `costs`.

    `titles` as in `table_text.transfer_name`. Raises LautumError as `grid` does.
    """
    runs = grid(results.runs, expected)
    accuracy, differences = accuracy_table(runs, tasks), difference_table(runs, results, tasks, comparisons)
    powers, looked = power_table(differences), {task for task in differences["task"].unique() if tasks[task].looks}
    claims, pretraining, costs = claim_table(differences), pretraining_table(runs, results), cost_table(runs)
    tables = {
        "accuracy": (accuracy, table_text.accuracy_cells(accuracy, titles)),
        "differences": (differences, table_text.difference_cells(differences, looked)),
        "claims": (claims, table_text.claim_cells(claims)),
        "power": (powers, table_text.power_cells(powers)),
        "pretraining": (pretraining, table_text.pretraining_cells(pretraining)),
        "costs": (costs, table_text.cost_cells(costs)),
    }
    below = {name: captions.CAPTIONS[name].format(seen=", ".join(equivalence.SEEN)) for name in tables}
    below["differences"] += captions.E_VALUES * bool(looked)
    return {name: Table(*table, below[name]) for name, table in tables.items()}


def write_tables(tables: dict[str, Table], folder: Path) -> None:
    """Write each of `build_tables` into `folder` as .md, .csv (numbers) and .tex (for the booktabs package)."""
    for name, table in tables.items():
        write_text(Path(folder) / f"{name}.csv", table.numbers.to_csv(index=False))
        write_text(Path(folder) / f"{name}.md", table_text.markdown(table))
        write_text(Path(folder) / f"{name}.tex", table_text.latex(table))


def _name(rows: pd.DataFrame) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in rows.iloc[0].items())
