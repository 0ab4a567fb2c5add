"""Paired differences on the page of a campaign: what was found, and what its design could have found."""

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from lautum import paper
from lautum.report import answers, page, table_text
from lautum.report.origin import Campaign, whole
from lautum.report.page import parts
from lautum.report.power_figures import UNKNOWN
from lautum.report.table_text import Table
from lautum.results.equivalence import SEEN

ANSWER = (
    "Right of zero the first method is better. Wide bar: 95 % t interval over seeds; thin line: for other seeds and "
    "other test images, which can be the shorter one because it rests on many images as well as on few seeds."
)
NO_INTERVAL = "No difference has an interval yet."
PAPER = " Star: the difference of the paper’s two figures."
IN_SIGHT = (
    "Percentage points with their 95 % interval over seeds, not adjusted for the number of comparisons. Practically "
    "equivalent within a margin: two one-sided t tests, corrected for the number of comparisons. Undecided: neither."
)
MARGINS = (
    "Margins: 1 point, 2 points and half of the paper’s difference. The first two were set when the results of the "
    f"campaigns {', '.join(SEEN[:-1])} and {SEEN[-1]} were known, and before those of any other."
)
LOOKS = (
    "Results were looked at before the last seed was there. The p values, the intervals and the verdict “practically "
    "equivalent” are right if that had no part in how many seeds were run. e holds in any case: where two methods are "
    "equal (and differences normal) it ever reaches 20 with a probability of at most 5 %. No e-value says that two "
    "methods are equivalent."
)
POWER = (
    "How probably a true difference is found by the t test and by the sign-flip test, and how probably the two methods "
    "are called practically equivalent within 1 or 2 points; after the strictest step of Holm’s correction. sd: "
    "standard deviation of a difference over seeds."
)


def differences(campaign: Campaign, task: str, table: Table, looks: Sequence[int]) -> Markup:
    """Figure, verdicts and all columns of one task's rows of `difference_table`; `looks` as in a configuration."""
    if f"{task}-differences" not in campaign.drawn:
        return parts().paragraphs(["No comparisons are declared for the methods of this task."])
    known = table.numbers["paper"].notna().any()
    found = answers.findings(table.numbers)
    figure = campaign.drawn[f"{task}-differences"]
    return page.join(
        page.picture(figure, f"{task}-differences", " ".join(found) or NO_INTERVAL, ANSWER + PAPER * bool(known)),
        _in_sight(table.numbers, bool(looks)),
        parts().paragraphs([MARGINS, *([LOOKS] if looks else [])]),
        whole(table),
        parts().folded("In words", parts().bullets(found)),
    )


def _in_sight(table: pd.DataFrame, looked: bool) -> Markup:
    """Three columns: number of labels, difference, verdict; a heading for each comparison."""
    rows: list[list] = []
    for pair, cells in table.groupby(["method", "baseline"], sort=False):
        rows.append([paper.comparison_name(*pair)])
        for row in cells.sort_values("labels").itertuples():
            points = [table_text.estimate(row.mean, row.n, row.n_expected, signed=True)]
            points += [page.small(table_text.interval(row.low, row.high, row.n, signed=True))] * bool(row.n)
            words = _words(row) if row.low == row.low else [table_text.NONE]
            if row.paper == row.paper:
                points.append(page.small(f"paper {table_text.percent(row.paper, signed=True)}"))
                words += [_labelled("order", row.order), _labelled("size", row.size)]
            if looked and row.e == row.e:
                words.append(page.small(f"e = {table_text.e_value(row.e)}"))
            rows.append([str(row.labels), Markup(" ").join(points), Markup(" ").join(words)])
    return page.table(["Labels", "Difference", "Verdict"], rows, IN_SIGHT)


def _words(row) -> list:
    """A difference, practically none, or undecided; and the margin that the difference is shown to be below."""
    within = answers.margin(row)
    return [page.word(answers.state(row)), *([page.small(within)] if within else [])]


def power(campaign: Campaign, task: str, table: Table) -> Markup:
    """Figure, summary and all numbers of one task's rows of `power_table`."""
    if table.numbers.empty:
        return parts().paragraphs([UNKNOWN])
    rows, texts = [], []
    for row in table.numbers[table.numbers["difference"] == 0].itertuples():
        t, sign_flip = (_found(value) for value in (row.found_t, row.found_sign_flip))
        rows.append(
            [
                str(row.labels),
                f"{100 * row.sd:.1f}",
                f"{t}; {sign_flip}",
                f"{_chance(row.within_1)}; {_chance(row.within_2)}",
            ]
        )
        texts.append(f"at {row.labels} labels the t test finds {t} points, the sign-flip test {sign_flip}")
    comparisons = table.numbers["comparisons"].iloc[0]
    family = f"{comparisons} comparison{'s' if comparisons > 1 else ''}"
    caption = (
        f"With {table_text.extent(table.numbers['n'])} seeds and {family}. Found: the difference, in points, that is "
        "found in 80 % of such experiments, by the t test; by the sign-flip test. Equivalent: the probability (%) that "
        "equal methods are shown to be so within 1 point; within 2 points."
    )
    return page.join(
        page.picture(
            campaign.drawn[f"{task}-power"], f"{task}-power", f"In 80 % of experiments {'; '.join(texts)}.", POWER
        ),
        page.table(["Labels", "sd", "Found", "Equivalent"], rows, caption),
        whole(table),
    )


def _found(difference: float) -> str:
    return "none" if difference != difference else f"{100 * difference:.1f}"


def _chance(share: float) -> str:
    return f"{100 * share:.0f}"


def _labelled(what: str, verdict: str) -> Markup:
    return page.small(Markup("{}: {}").format(what, page.word(verdict)))
