"""The paper's tables from evaluated runs: accuracies, paired differences and costs, as Markdown, CSV and LaTeX.

`records` has one row per evaluated run. `expected` lists the (task, method, labels, seed) that the configuration asks
for: other records are left out, and runs without a record are shown as missing. `tasks` maps a task's name to an object
with `source`, `target` and `paper_table` (a key of `paper.TABLE_SOURCES`, or None). Accuracies are fractions in numeric
tables and percent in text.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lautum import paper, statistics
from lautum.errors import LautumError
from lautum.files import write_text

RUN = ["task", "method", "labels", "seed"]
DATA_HASHES = ["source_train_sha256", "target_train_sha256", "target_eval_sha256"]
ACCURACY = "Accuracy (%)"
BOOTSTRAP_SEED = 0
NONE = "–"
LATEX_SYMBOLS = {"→": r"$\rightarrow$", "−": "$-$", "–": "--"}

CAPTIONS = {
    "accuracy": "Target {part} accuracy: mean over n seeds and 95 % Student t interval of that mean. Bold: the "
    "highest mean measured for a task and number of labels, which need not be a resolved difference. "
    "Paper: its figure for that cell, one number without an interval.",
    "differences": "Differences of target {part} accuracy in percentage points over the n seeds that both methods "
    "have. 95 % CI: BCa bootstrap over seeds; for normal data it holds the true mean in about 73, 84 "
    "and 90 % of cases with 3, 5 and 10 seeds, so with few seeds it is too short. p: two-sided "
    "sign-flip test (exact up to 16 seeds), which cannot fall below 2 / 2^n (0.0625 for 5 seeds). "
    "Holm: adjusted over all comparisons of the task. P(A > B): fraction of seeds on which the first method beats the "
    "second, ties counted half. Paper: difference of its two figures.",
    "costs": "Cost of one run: medians over n runs, and the largest peak memory. Times compare only on the same "
    "machine. A pre-training that several methods share is counted for each of them.",
}


class Table(NamedTuple):
    numbers: pd.DataFrame
    cells: pd.DataFrame  # the same rows as text
    caption: str

    @property
    def best(self) -> pd.Series:
        """Rows whose accuracy is set in bold."""
        return self.numbers.get("best", pd.Series(False, index=self.cells.index))


def grid(records: pd.DataFrame, expected: Iterable[tuple[str, str, int, int]]) -> pd.DataFrame:
    """One row per expected run, in the order of the tables, with its record; NaN where that is missing.

    Raises LautumError when records cannot be compared: a run twice, both parts of the data, different data within a
    task, or different labelled images for the same task, label count and seed.
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
    if records["part"].nunique() > 1:
        raise LautumError("the records mix test and validation accuracies; tabulate one part at a time")
    for keys, column in [(["task"], hash_) for hash_ in DATA_HASHES] + [(["task", "labels", "seed"], "split_sha256")]:
        distinct = records.groupby(keys)[column].transform("nunique")
        if (distinct > 1).any():
            where = _name(records.loc[distinct > 1, keys])
            raise LautumError(
                f"records of {where} differ in {column}, so they cannot be compared; run the older ones again"
            )
    return expected.merge(records, on=RUN, how="left")


def part_of(runs: pd.DataFrame) -> str:
    """The part of the target data that `runs`, from `grid`, were evaluated on; "test" as long as there is no record."""
    return next(iter(runs["part"].dropna()), "test")


def accuracy_table(runs: pd.DataFrame, tasks: Mapping) -> pd.DataFrame:
    """Per task, label count and method: mean accuracy, 95 % t interval over seeds, and the paper's figure.

    `runs` comes from `grid`. Columns: task, source, target, labels, method, mean, low, high, n, n_expected, paper, best
    (the highest mean of its task and label count).
    """
    rows = []
    for (task, labels, method), cell in runs.groupby(["task", "labels", "method"], sort=False):
        accuracies = cell["accuracy"].dropna().to_numpy(dtype=float)
        rows.append(
            {
                "task": task,
                "source": tasks[task].source,
                "target": tasks[task].target,
                "labels": labels,
                "method": method,
                "mean": accuracies.mean() if len(accuracies) else np.nan,
                **statistics.mean_interval(accuracies)._asdict(),
                "n": len(accuracies),
                "n_expected": len(cell),
                "paper": paper.accuracy(tasks[task].paper_table, method, labels),
            }
        )
    table = pd.DataFrame(rows)
    table["best"] = table["mean"].notna() & (
        table["mean"] == table.groupby(["task", "labels"])["mean"].transform("max")
    )
    return table


def difference_table(runs: pd.DataFrame, tasks: Mapping, comparisons: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Per task, label count and declared (method, baseline): `statistics.paired_comparison` over common seeds.

    Columns: task, labels, method, baseline, mean, low, high, p, p_holm, superiority, n, n_expected, paper (difference
    of the paper's figures). Holm's family is all comparisons of one task.
    """
    rows = []
    for (task, labels), block in runs.groupby(["task", "labels"], sort=False):
        accuracies = block.pivot(index="seed", columns="method", values="accuracy").astype(float)
        for method, baseline in comparisons:
            if method not in accuracies or baseline not in accuracies:
                continue
            both = block[block["method"].isin([method, baseline])]
            common = accuracies[[method, baseline]].dropna()
            result = statistics.paired_comparison(
                common[method], common[baseline], np.random.default_rng(BOOTSTRAP_SEED)
            )
            figures = [paper.accuracy(tasks[task].paper_table, name, labels) for name in (method, baseline)]
            rows.append(
                {
                    "task": task,
                    "labels": labels,
                    "method": method,
                    "baseline": baseline,
                    **result._asdict(),
                    "n_expected": int(both["seed"].duplicated().sum()),
                    "paper": figures[0] - figures[1],
                }
            )
    columns = ["task", "labels", "method", "baseline", "mean", "low", "high", "p", "p_holm", "superiority", "n"]
    table = pd.DataFrame(rows, columns=[*columns, "n_expected", "paper"])
    table["p_holm"] = table.groupby("task")["p"].transform(statistics.holm).astype(float)
    return table


def cost_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Per task, method and machine: medians of seconds and images per second over runs, and the largest peak memory.

    Columns: task, method, machine, n, pretrain_seconds, transfer_seconds, evaluate_seconds, pretrain_images_per_second,
    transfer_images_per_second, peak_memory_mb.
    """
    done = runs.dropna(subset="accuracy")
    machine = done["cpu"].where(done["device"] == "cpu", done["device"] + ", " + done["cpu"])
    machine += ", " + done["threads"].astype(int).astype(str) + " thread(s)"
    groups = done.assign(machine=machine).groupby(["task", "method", "machine"], sort=False)
    medians = ["pretrain_seconds", "transfer_seconds", "evaluate_seconds"]
    medians += ["pretrain_images_per_second", "transfer_images_per_second"]
    return groups.agg(
        n=("seed", "size"), **{name: (name, "median") for name in medians}, peak_memory_mb=("peak_memory_mb", "max")
    ).reset_index()


def accuracy_cells(table: pd.DataFrame) -> pd.DataFrame:
    """`accuracy_table` as text, in the layout of the paper's Tables 1 and 2."""
    rows = [
        {
            "Method": paper.method_name(row.method),
            "Source → Target": paper.transfer_name(row.source, row.target),
            "# labelled": str(row.labels),
            ACCURACY: _estimate(row.mean, row.n, row.n_expected),
            "95 % CI": _interval(row.low, row.high, row.n),
            "n": _count(row.n, row.n_expected),
            "Paper (%)": percent(row.paper),
        }
        for row in table.itertuples()
    ]
    return pd.DataFrame(rows)


def difference_cells(table: pd.DataFrame) -> pd.DataFrame:
    """`difference_table` as text."""
    rows = [
        {
            "Comparison": paper.comparison_name(row.method, row.baseline),
            "Task": row.task,
            "# labelled": str(row.labels),
            "Difference (points)": _estimate(row.mean, row.n, row.n_expected, signed=True),
            "95 % CI": _interval(row.low, row.high, row.n, signed=True),
            "p": _number(row.p, ".4f"),
            "p (Holm)": _number(row.p_holm, ".4f"),
            "P(A > B)": _number(row.superiority, ".2f"),
            "n": _count(row.n, row.n_expected),
            "Paper (points)": percent(row.paper, signed=True),
        }
        for row in table.itertuples()
    ]
    return pd.DataFrame(rows)


def cost_cells(table: pd.DataFrame) -> pd.DataFrame:
    """`cost_table` as text."""
    rows = [
        {
            "Method": paper.method_name(row.method),
            "Task": row.task,
            "Pre-transfer (s)": _number(row.pretrain_seconds, ",.1f"),
            "Post-transfer (s)": _number(row.transfer_seconds, ",.1f"),
            "Evaluation (s)": _number(row.evaluate_seconds, ",.2f"),
            "Pre-transfer (images/s)": _number(row.pretrain_images_per_second, ",.0f"),
            "Post-transfer (images/s)": _number(row.transfer_images_per_second, ",.0f"),
            "Peak memory (MB)": _number(row.peak_memory_mb, ",.0f"),
            "n": str(row.n),
            "Machine": row.machine,
        }
        for row in table.itertuples()
    ]
    return pd.DataFrame(rows)


def build_tables(records: pd.DataFrame, expected, tasks: Mapping, comparisons) -> dict[str, Table]:
    """The tables `accuracy`, `differences` and `costs`. Raises LautumError as `grid` does."""
    runs = grid(records, expected)
    part = part_of(runs)
    accuracy, differences, costs = (
        accuracy_table(runs, tasks),
        difference_table(runs, tasks, comparisons),
        cost_table(runs),
    )
    captions = {name: caption.format(part=part) for name, caption in CAPTIONS.items()}
    return {
        "accuracy": Table(accuracy, accuracy_cells(accuracy), captions["accuracy"]),
        "differences": Table(differences, difference_cells(differences), captions["differences"]),
        "costs": Table(costs, cost_cells(costs), captions["costs"]),
    }


def write_tables(records: pd.DataFrame, expected, tasks: Mapping, comparisons, folder: Path) -> None:
    """Write each of `build_tables` into `folder` as .md, .csv (numbers) and .tex (for the booktabs package)."""
    for name, table in build_tables(records, expected, tasks, comparisons).items():
        write_text(Path(folder) / f"{name}.csv", table.numbers.to_csv(index=False))
        write_text(Path(folder) / f"{name}.md", markdown(table))
        write_text(Path(folder) / f"{name}.tex", latex(table))


def markdown(table: Table) -> str:
    """The table as Markdown, with its caption below."""
    if table.cells.empty:
        return f"No results.\n\n{table.caption}\n"
    cells = table.cells.replace(r"\|", r"\\|", regex=True)
    if table.best.any():
        cells.loc[table.best, ACCURACY] = "**" + cells.loc[table.best, ACCURACY] + "**"
    rows = [cells.columns, ["---"] * len(cells.columns), *cells.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + f"\n{table.caption}\n"


def latex(table: Table) -> str:
    """The table as a LaTeX tabular for the booktabs package."""
    if table.cells.empty:
        return "No results.\n"
    styler = table.cells.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    if table.best.any():
        styler = styler.set_properties(subset=(table.best, [ACCURACY]), textbf="--rwrap")
    text = styler.to_latex(hrules=True, column_format="l" * len(table.cells.columns))
    for symbol, command in LATEX_SYMBOLS.items():
        text = text.replace(symbol, command)
    return text


def percent(fraction: float, signed: bool = False) -> str:
    """A fraction in percent with two decimals, a dash for NaN."""
    return NONE if np.isnan(fraction) else format(100 * fraction, "+.2f" if signed else ".2f").replace("-", "−")


def _estimate(mean: float, n: int, n_expected: int, signed: bool = False) -> str:
    return percent(mean, signed) if n else f"missing ({n_expected} of {n_expected} seeds)"


def _interval(low: float, high: float, n: int, signed: bool = False) -> str:
    if n == 1:
        return "no interval (n = 1)"
    return f"[{percent(low, signed)}, {percent(high, signed)}]" if n else NONE


def _count(n: int, n_expected: int) -> str:
    return str(n) if n in (0, n_expected) else f"{n} (missing {n_expected - n} of {n_expected})"


def _number(value: float, form: str) -> str:
    return NONE if pd.isna(value) else format(value, form)


def _name(rows: pd.DataFrame) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in rows.iloc[0].items())
