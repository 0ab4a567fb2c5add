"""What was asked and what came out, in words: one vocabulary for pages, alternative texts and lists.

Two methods at a number of labels: *better* or *worse*, where the interval leaves out zero; else *practically
equivalent*, where the difference is shown to be practically zero; else *undecided*. The paper's order: *reproduced*,
*consistent but unresolved*, *contradicted*. The size of its difference: *agrees*, *too uncertain*, *differs*. Its
accuracies get no verdict, because its main text names neither networks nor training.
"""

import numpy as np
import pandas as pd

from lautum import paper
from lautum.report import table_text
from lautum.report.figures import leading
from lautum.results import equivalence, statistics

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "practically equivalent", "undecided"
# What a word looks like on a page: in short, its symbol, its kind. Colour alone says nothing.
LOOKS = {
    BETTER: (BETTER, "▲", "good"),
    WORSE: (WORSE, "▼", "bad"),
    EQUIVALENT: (EQUIVALENT, "≈", "open"),
    UNDECIDED: (UNDECIDED, "○", "open"),
    statistics.REPRODUCED: (statistics.REPRODUCED, "✓", "good"),
    statistics.CONTRADICTED: (statistics.CONTRADICTED, "✗", "bad"),
    statistics.UNRESOLVED: ("unresolved", "○", "open"),
    statistics.AGREES: (statistics.AGREES, "✓", "good"),
    statistics.DIFFERS: (statistics.DIFFERS, "✗", "bad"),
    statistics.UNCERTAIN: (statistics.UNCERTAIN, "○", "open"),
}
ORDERS = (statistics.REPRODUCED, statistics.UNRESOLVED, statistics.CONTRADICTED)


def state(row) -> str:
    """A row of `difference_table` with an interval in a word: a difference, practically none, or undecided."""
    if row.low <= 0 <= row.high:
        return EQUIVALENT if equivalence.shown(row.within) else UNDECIDED
    return BETTER if row.mean > 0 else WORSE


def margin(row) -> str:
    """As `table_text.margin`, in the letters of a page."""
    return table_text.margin(row).replace("'", "’")


def title(differences: pd.DataFrame, runs: pd.DataFrame, transfers: dict[str, str]) -> str:
    """What the page of a campaign is about; the arguments are `difference_table`, `tables.grid` and names of tasks."""
    where = listed(list(transfers.values()))
    if differences.empty:
        return _sentence(f"{listed(_names(runs['method'].unique()))}: {where}")
    rows = leading(differences)
    others = _names(rows["baseline"].unique())
    more = runs["method"].nunique() - len(others) - 1
    rest = [f"{more} other {'methods' if more > 1 else 'method'}"] if more else []
    return _sentence(f"{paper.method_name(rows['method'].iloc[0])} against {listed(others + rest)}: {where}")


def question(differences: pd.DataFrame) -> str:
    """What the first comparison asks."""
    if differences.empty:
        return "Which test accuracy does each method reach?"
    rows = leading(differences)
    first, others = paper.method_name(rows["method"].iloc[0]), listed(_names(rows["baseline"].unique()), "or")
    asked = f"With few labelled target images, does {first} reach a higher test accuracy than {others}"
    return asked + (", as the paper reports?" if (rows["paper"] > 0).all() else "?")


def sentence(differences: pd.DataFrame, claims: pd.DataFrame, transfer: str) -> str:
    """The answer for one task, from its rows of `difference_table` and `claim_table`."""
    if differences.empty:
        return f"{transfer}: no two methods are compared."
    asked = differences[
        (differences[["method", "baseline"]] == differences[["method", "baseline"]].iloc[0]).all(axis=1)
    ]
    first, other = (paper.method_name(asked[name].iloc[0]) for name in ("method", "baseline"))
    rows, unknown = asked.dropna(subset="low"), asked.loc[asked["low"].isna(), "labels"]
    if rows.empty:
        return f"{transfer}: {first} and {other} have no two seeds that differ yet."
    text = f"{transfer}: {first} is {_states(rows, other)}, {_points(rows['mean'])} points on average"
    text += f" (in the paper {_points(rows['paper'])})" if rows["paper"].notna().all() else ""
    text += f"; at {listed(unknown)} labels no two seeds differ yet" if len(unknown) else ""
    if len(claims) > 1:
        cells = claims[list(statistics.ORDERS.values())].sum(axis=1)
        everywhere = int((claims[list(equivalence.COLUMNS.values())].sum(axis=1) == cells).sum())
        found = []
        for word in ORDERS:
            if count := int((claims["verdict"] == word).sum()):
                found.append(f"{count} {LOOKS[word][0]}")
                if word == statistics.UNRESOLVED and everywhere:
                    found[-1] += f" ({everywhere} of them {EQUIVALENT} at every number of labels)"
        if count := int((claims["verdict"] == statistics.UNKNOWN).sum()):
            found.append(f"{count} not known yet")
        text += f". Of the {len(claims)} of the paper’s orders that are compared: {', '.join(found)}"
    return text + "."


def finding(rows: pd.DataFrame) -> str:
    """The rows of `difference_table` of one comparison, all with an interval, as a sentence.

    One method is called better than the other where the interval leaves out zero and the test, corrected, is
    significant at 5 %.
    """
    places: dict[str, list[str]] = {}
    for row in rows.itertuples():
        verdict = state(row)
        if verdict in (BETTER, WORSE) and not row.p_holm < 0.05:
            verdict += ", but not significantly after Holm's correction,"
        if verdict == EQUIVALENT:
            verdict += f" {margin(row)}"
        elif margin(row):
            verdict = f"{verdict.rstrip(',')}, by {margin(row)},"
        interval = table_text.interval(row.low, row.high, row.n, signed=True)
        mean = table_text.percent(row.mean, signed=True)
        places.setdefault(verdict, []).append(f"{row.labels} labels ({mean} {interval})")
    found = "; ".join(f"{verdict} at {', '.join(where)}" for verdict, where in places.items())
    first, other = (paper.method_name(rows[name].iloc[0]) for name in ("method", "baseline"))
    return _sentence(f"{first} against {other}: {found}.")


def findings(differences: pd.DataFrame) -> list[str]:
    """A sentence for every comparison of one task that has an interval somewhere."""
    rows = differences.dropna(subset="low")
    return [finding(group) for _, group in rows.groupby(["method", "baseline"], sort=False)]


def accuracies(table: pd.DataFrame) -> str:
    """What `accuracy_figure` shows, in words: lowest and highest mean at each number of labels."""
    texts = []
    for labels, rows in table[table["n"] > 0].groupby("labels"):
        low, high = rows.loc[rows["mean"].idxmin()], rows.loc[rows["mean"].idxmax()]
        ends = [f"{table_text.percent(row['mean'])} % ({paper.method_name(row['method'])})" for row in (low, high)]
        texts.append(f"at {labels} labels from {ends[0]} to {ends[1]}")
    return "Accuracy against number of labelled target images: " + ("; ".join(texts) or "no results yet") + "."


def _states(rows: pd.DataFrame, other: str) -> str:
    """E.g. "better than Standard at 100 labels and practically equivalent to it at 200 labels (within 2 points)".

    A method that is better or worse without a significant test, corrected, is said to be so, as in `finding`.
    """
    places: dict[str, dict[str, list[int]]] = {}
    for row in rows.itertuples():
        word, more = state(row), ""
        if word == EQUIVALENT:
            more = margin(row)
        elif word != UNDECIDED and not row.p_holm < 0.05:
            more = "not significant after Holm’s correction"
        places.setdefault(word, {}).setdefault(more, []).append(row.labels)
    texts = []
    for word, labels in places.items():
        name = "it" if texts else other
        said = {
            EQUIVALENT: f"{EQUIVALENT} to {name}",
            UNDECIDED: f"neither told apart from {name} nor shown to be equivalent",
        }.get(word, f"{word} than {name}")
        where = [f"at {listed(some)} labels" + f" ({more})" * bool(more) for more, some in labels.items()]
        texts.append(f"{said} {listed(where)}")
    return listed(texts)


def _points(values: pd.Series) -> str:
    """Their mean."""
    return format(round(100 * float(np.mean(values)), 1) + 0.0, "+.1f").replace("-", "−")


def _sentence(text: str) -> str:
    """With a capital letter: it may begin with a method that is called by words."""
    return text[:1].upper() + text[1:]


def _names(methods) -> list[str]:
    return [paper.method_name(method) for method in methods]


def listed(items, last: str = "and") -> str:
    """As a sentence lists them: 'a, b and c'."""
    words = [str(item) for item in items]
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
