"""Tables as text: the cells and formats of what `lautum.report.tables` computes."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from lautum import paper
from lautum.data.datasets import DATASETS
from lautum.results import equivalence, statistics

ACCURACY = "Accuracy (%)"
NONE = "–"
LATEX_SYMBOLS = {"→": r"$\rightarrow$", "−": "$-$", "–": "--", ">": "$>$", "<": "$<$"}


class Table(NamedTuple):
    numbers: pd.DataFrame
    cells: pd.DataFrame  # the same rows as text
    caption: str

    @property
    def best(self) -> pd.Series:
        """Rows whose accuracy is set in bold."""
        return pd.Series(self.numbers["best"] if "best" in self.numbers else False, index=self.cells.index)


def transfer_name(source: str, target: str, titles: Mapping[str, str] = MappingProxyType({})) -> str:
    """E.g. 'MNIST → notMNIST'; `titles` are those of data sets that are not built in, by name."""
    known = {name: data_set.title for name, data_set in DATASETS.items()} | dict(titles)
    return " → ".join(known.get(name, name) for name in (source, target))


def transfers(accuracy: Table) -> dict[str, str]:
    """Each task's name for readers, from the table `accuracy`."""
    return dict(zip(accuracy.numbers["task"], accuracy.cells["Source → Target"], strict=True))


def accuracy_cells(table: pd.DataFrame, titles: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """`accuracy_table` as text, in the layout of the paper's Tables 1 and 2; `titles` as in `transfer_name`."""
    rows = [
        {
            "Method": paper.method_name(row.method),
            "Source → Target": transfer_name(row.source, row.target, titles),
            "# labelled": str(row.labels),
            ACCURACY: estimate(row.mean, row.n, row.n_expected),
            "95 % CI": interval(row.low, row.high, row.n),
            "n": _count(row.n, row.n_expected),
            "One run": interval(row.run_low, row.run_high, row.n),
            "Paper (%)": percent(row.paper),
        }
        for row in table.itertuples()
    ]
    return pd.DataFrame(rows)


def difference_cells(table: pd.DataFrame, looked: Collection[str] = ()) -> pd.DataFrame:
    """`difference_table` as text; with e-values for the tasks whose results were looked at more than once."""
    rows = [
        {
            "Comparison": paper.comparison_name(row.method, row.baseline),
            "Task": row.task,
            "# labelled": str(row.labels),
            "Difference (points)": estimate(row.mean, row.n, row.n_expected, signed=True),
            "95 % CI": interval(row.low, row.high, row.n, signed=True),
            "BCa": interval(row.bca_low, row.bca_high, row.n, signed=True),
            "Seeds and images": interval(row.images_low, row.images_high, row.n, signed=True),
            "Sign-flip p (Holm)": _tested(row.p, row.p_holm),
            "t p (Holm)": _tested(row.p_t, row.p_t_holm),
            "Practically zero": _within(row),
            "e": e_value(row.e) if row.task in looked else NONE,
            "P(A > B)": _number(row.superiority, ".2f"),
            "n": _count(row.n, row.n_expected),
            "Paper (points)": percent(row.paper, signed=True),
            "Order": _verdict(row.order),
            "Size": _verdict(row.size),
        }
        for row in table.itertuples()
    ]
    cells = pd.DataFrame(rows)
    return cells if looked else cells.drop(columns="e", errors="ignore")


def claim_cells(table: pd.DataFrame) -> pd.DataFrame:
    """`claim_table` as text."""
    rows = []
    for row in table.itertuples():
        counts = {word: getattr(row, word) for word in statistics.ORDERS.values()}
        total = sum(counts.values())
        shown = ", ".join(f"{word} at {count} of {total}" for word, count in counts.items() if count)
        rows.append(
            {
                "Task": row.task,
                "Claim": f"{paper.method_name(row.method)} > {paper.method_name(row.baseline)}",
                "Verdict": f"{row.verdict} ({shown})",
                "Practically zero": equivalent(row, total) or equivalence.NOT_SHOWN,
            }
        )
    return pd.DataFrame(rows)


def equivalent(row, total: int) -> str:
    """A row of `claim_table`: at how many of all label counts the two are practically equivalent; empty if at none."""
    found = {name: getattr(row, column) for name, column in equivalence.COLUMNS.items()}
    return ", ".join(f"within {name} at {count} of {total}" for name, count in found.items() if count)


def power_cells(table: pd.DataFrame) -> pd.DataFrame:
    """`power_table` as text."""
    rows = [
        {
            "Task": row.task,
            "# labelled": str(row.labels),
            "True difference (points)": f"{100 * row.difference:g}",
            "t test (%)": f"{100 * row.t:.1f}",
            "Sign-flip (%)": f"{100 * row.sign_flip:.1f}",
            "Within 1 point (%)": f"{100 * row.within_1:.1f}",
            "Within 2 points (%)": f"{100 * row.within_2:.1f}",
            "sd (points)": f"{100 * row.sd:.2f}",
            "n": str(row.n),
        }
        for row in table.itertuples()
    ]
    return pd.DataFrame(rows)


def pretraining_cells(table: pd.DataFrame) -> pd.DataFrame:
    """`pretraining_table` as text."""
    rows = [
        {
            "Method": ", ".join(paper.method_name(method) for method in row.methods.split("+")),
            "Task": row.task,
            "Source batch accuracy (%)": _number(100 * row.source_accuracy, ".1f"),
            "Source cross-entropy (nats)": _number(row.source_cross_entropy, ".3f"),
            "Lautum information (nats)": _number(row.lautum_information, ".2f"),
            "Largest canonical correlation": _number(row.rho_max, ".3f"),
            "n": str(row.n),
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
            "# labelled": str(row.labels),
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


def markdown(table: Table) -> str:
    """The table as Markdown, with its caption below."""
    if table.cells.empty:
        return f"No results.\n\n{table.caption}\n"
    cells = table.cells.map(_markdown_cell)
    if table.best.any():
        cells.loc[table.best, ACCURACY] = "**" + cells.loc[table.best, ACCURACY] + "**"
    rows = [cells.columns, ["---"] * len(cells.columns), *cells.itertuples(index=False)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + f"\n{table.caption}\n"


def _markdown_cell(text: str) -> str:
    """As text and nothing else: no new row or column, no HTML."""
    return " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


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


def accuracy_text(row) -> str:
    """A row of `accuracy_table` in a line: labels, mean, interval, seeds."""
    return f"{row.labels} labels: {percent(row.mean)} % {interval(row.low, row.high, row.n)}, n = {row.n}"


def difference_text(row) -> str:
    """A row of `difference_table` in a line."""
    around = interval(row.low, row.high, row.n, signed=True)
    return f"{row.labels} labels: {percent(row.mean, signed=True)} points {around}, n = {row.n}"


def percent(fraction: float, signed: bool = False) -> str:
    """A fraction in percent with two decimals, a dash for NaN."""
    return NONE if np.isnan(fraction) else format(100 * fraction, "+.2f" if signed else ".2f").replace("-", "−")


def estimate(mean: float, n: int, n_expected: int, signed: bool = False) -> str:
    """A mean in percent; in words where there is none."""
    return percent(mean, signed) if n else f"missing ({n_expected} of {n_expected} seeds)"


def interval(low: float, high: float, n: int, signed: bool = False) -> str:
    """The bounds in percent; in words where there is none."""
    if not n:
        return NONE
    if np.isnan(low):
        return "no interval (n = 1)" if n == 1 else "no interval (all equal)"
    return f"[{percent(low, signed)}, {percent(high, signed)}]"


def extent(counts: pd.Series) -> str:
    """E.g. '5', or '2 to 5' where they differ."""
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _count(n: int, n_expected: int) -> str:
    return str(n) if n in (0, n_expected) else f"{n} (missing {n_expected - n} of {n_expected})"


def _verdict(word: str) -> str:
    return NONE if word == statistics.UNKNOWN else word


def e_value(e: float) -> str:
    """Two digits are enough: it is read against 20."""
    if np.isnan(e):
        return NONE
    return f"{float(f'{e:.2g}'):,.12g}" if e < 1e6 else "over 1,000,000"


def _tested(p: float, holm: float) -> str:
    return NONE if np.isnan(p) else f"{_p(p)} ({_p(holm)})"


def _p(value: float) -> str:
    return "<0.0001" if value < 0.00005 else f"{value:.4f}"


def margin(row) -> str:
    """How small a row of `difference_table` is shown to be, in words; empty if that is not shown.

    "within ..." is a difference that is practically zero, "under ..." one whose interval leaves out zero.
    """
    if not equivalence.shown(row.within):
        return ""
    return f"{'within' if row.low <= 0 <= row.high else 'under'} {row.within}"


def _within(row) -> str:
    """`margin` with its size where that is not in its name."""
    if not equivalence.shown(row.within):
        return NONE if row.within == statistics.UNKNOWN else row.within
    size = f" ({percent(equivalence.margins(row.paper)[row.within])})" if row.within == equivalence.HALF else ""
    return margin(row) + size


def _number(value: float, form: str) -> str:
    return NONE if pd.isna(value) else format(value, form)
