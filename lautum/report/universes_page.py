"""The page of a campaign over universes: under which choices that the main text leaves open does the claim hold?"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from lautum import paper
from lautum.errors import LautumError
from lautum.experiment.layout import Layout
from lautum.files import write_text
from lautum.report import page, style, table_text, universes_figures
from lautum.report.page import Section, parts
from lautum.report.table_text import NONE
from lautum.results import specifications, universes
from lautum.results.equivalence import HALF, LEVEL, MARGINS
from lautum.results.multiverse import CLAIM, Analysis, signed

QUESTION = "Under which of the choices that the paper’s main text leaves open does its claim hold?"
CURVE = (
    "Each mark is a universe at a budget: one choice of every declared factor, and a number of post-transfer steps. "
    "Its height is Lautum’s lead over Standard, a mean over label counts and paired seeds, with its 95 % t interval, "
    "in the order of the lead. Triangles: the interval leaves out zero. Below, a stroke under each setting for "
    "everything that it chose; strokes that gather at one end tell what decides."
)
OTHERS = "As the first figure, for the other comparisons: each curve is in its own order."
OVERALL = (
    "The mean lead over all label counts and all budgets at which both were evaluated, with its 95 % t interval over "
    "ways of pre-training, and the number of these."
)
DISTANCE = (
    "How near Standard is to the paper’s accuracy, over all label counts and from seeds that no lead is taken "
    "from, against Lautum’s lead in the same place. Shaded: near, as declared. The claim’s own level would be "
    "there, at the dashed line. Above: at every label count Standard is more accurate than in the paper; below: at "
    "none; above and below: at some."
)
LEVELS = (
    "Lautum’s lead at each level of each choice, averaged over everything else, with 95 % t intervals over pre-"
    "transfer choices. An interval that leaves the picture is cut off."
)
MAP = "Lautum’s mean lead in points, at each pair of choices."
MECHANISM = (
    "What Lautum’s pre-training leaves behind, beside Standard’s, against its lead after the post-transfer stage:"
    " a mark for each universe. Logit scale: root mean square of the logits on source images, around their mean "
    "over the classes."
)
SHARES = (
    "Share of specifications in which the interval of Lautum’s lead lies above or below zero, at each label "
    "count; in brackets 95 % intervals that resample pre-transfer choices, where there are enough and they differ. "
    "By chance alone, 2.5 % would lie on each side."
)
DECIDES = (
    "Of the variance of Lautum’s lead over universes and budgets, the part that each choice explains beside all "
    "others, and how probable so large a part is if the choice has no effect (its levels exchanged at random, 999 "
    "times; after Holm); then what no choice explains by itself. What lies between ways of pre-training, and within "
    "them, divides the same variance once more: the lines do not add up to 100."
)
AVERAGE = (
    "Lautum’s mean lead over {} pre-transfer choices with its 95 % t interval, and whether it is practically "
    "zero: two one-sided t tests at 5 %, not corrected for their number."
)
CHANCE = (
    "Could it all be chance? If Lautum’s pre-training and Standard’s could be swapped without a trace, "
    "differences this large would come up with a probability of {} (swapping the two within each pre-transfer "
    "choice and seed; after Holm)."
)
WHY = (
    "Spearman’s correlation over universes, after each number of post-transfer steps. Universes that share a "
    "pre-training share what it leaves, so these are hardly more than {} independent points, and no test is made; the "
    "two gains have Standard in common, which alone makes them alike."
)


def write_all(layout: Layout, path: Path | str) -> Path:
    """Tables, figures and page of a configuration, in the file `path`; returns the path of the page.

    Raises LautumError as `Analysis.of`, and when no universe is finished.
    """
    analysis = Analysis.of(layout)
    if analysis.count == 0 or CLAIM not in analysis.comparisons:
        raise LautumError(
            f"no universe of {layout.config.name} is finished with both {' and '.join(CLAIM)}; run the campaign further"
        )
    names = universes.figure_names(layout.config)
    if len(analysis.comparisons) < 2:  # of methods that are not run in every universe there may be nothing yet
        names = [name for name in names if name != "others"]
    drawn = universes_figures.build_figures(analysis, names)
    style.write(drawn, layout.report)
    frames = tables(analysis)
    for name, frame in frames.items():
        text = frame.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_text(layout.report / f"{name}.csv", text)
    return write(layout, analysis, drawn, frames, f"snakemake --profile local --configfile {path}")


def tables(analysis: Analysis) -> dict[str, pd.DataFrame]:
    """Everything that is written beside the page, by name; gains and distances are fractions."""

    def named(table: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
        return table.assign(method=pair[0], baseline=pair[1])

    shares = [
        [name, some.n, some.above, *some.above_interval, some.below, *some.below_interval]
        for name, some in analysis.shares.items()
    ]
    columns = ["settings", "n", "ahead", "ahead_low", "ahead_high", "behind", "behind_low", "behind_high"]
    return {
        "gains": pd.concat([named(table, pair) for pair, table in analysis.gains.items()]),
        "average": pd.concat([named(analysis.average(pair), pair) for pair in analysis.comparisons]),
        "shares": pd.DataFrame(shares, columns=columns),
        "joint": analysis.joint,
        "distances": analysis.distances,
        "decomposition": analysis.decomposition,
        "mechanism": analysis.mechanism,
    }


def write(
    layout: Layout, analysis: Analysis, drawn: Mapping[str, Figure], frames: Mapping[str, pd.DataFrame], command: str
) -> Path:
    """Write index.html in the campaign's folder and return its path."""
    config = layout.config
    task = config.tasks[config.grid.tasks[0]]
    titles = {name: data_set.title for name, data_set in config.catalogue.datasets.items()}
    transfer = table_text.transfer_name(task.source, task.target, titles)
    sentences = analysis.sentences()
    card = page.join(
        parts().bullets(sentences),
        page.picture(drawn["curve"], "curve", sentences[0], CURVE),
        _shares(frames["shares"]),
    )
    sections = []
    if "distance" in drawn:
        picture = page.picture(drawn["distance"], "distance", DISTANCE, DISTANCE)
        sections.append(Section("paper", "At the paper’s own level", picture))
    sections += [
        Section("decides", "What decides", _decides(analysis, drawn, frames["decomposition"])),
        Section("average", "On average, and whether that is practically nothing", _average(analysis)),
        Section("why", "Why", _why(drawn, frames["mechanism"], int(analysis.overall(CLAIM).n))),
    ]
    if "others" in drawn:
        sections.append(Section("others", "Other comparisons", _others(layout, analysis, drawn["others"])))
    sections += [
        Section("space", "The choices", _space(analysis)),
        Section("origin", "From what this was made", _origin(analysis, command), folded=True),
    ]
    return page.write(
        layout.report / "index.html",
        title=f"Where does the claim hold? {transfer}",
        question=QUESTION,
        line=sentences[0],
        card=card,
        sections=sections,
        about=layout.config.about,
        notices=notices(analysis),
        thumbnail="curve.png",
    )


def notices(analysis: Analysis) -> list[str]:
    """What a reader must know before any number: what is missing."""
    if analysis.count == analysis.design.count:
        return []
    extent = (
        f"{analysis.count} of {analysis.design.count} declared universes, with {len(analysis.budgets)} budgets each"
    )
    return [f"{extent}, are finished; of the rest nothing is shown."]


def _percent(share: float, low: float, high: float) -> str:
    interval = "" if np.isnan(low) else f" ({100 * low:.0f} to {100 * high:.0f})"
    return "" if np.isnan(share) else f"{100 * share:.0f}{interval}"


def _shares(frame: pd.DataFrame) -> Markup:
    rows = [
        [
            row.settings,
            str(row.n),
            _percent(row.ahead, row.ahead_low, row.ahead_high),
            _percent(row.behind, row.behind_low, row.behind_high),
        ]
        for row in frame.itertuples()
    ]
    return page.table(["Specifications", "Number", "Ahead (%)", "Behind (%)"], rows, SHARES)


def _decides(analysis: Analysis, drawn: Mapping[str, Figure], frame: pd.DataFrame) -> Markup:
    rows = [
        [row.factor, f"{100 * row.share:.0f}", "" if np.isnan(row.holm) else f"{row.holm:.2g}"]
        for row in frame.dropna(subset="share").itertuples()
    ]
    choices = frame.iloc[: list(frame["factor"]).index(specifications.BETWEEN)]
    unclear = ", ".join(choices.loc[choices["share"].isna(), "factor"])
    untold = f" Those that so few universes do not tell apart: {unclear}." if unclear else ""
    names = [name for name in drawn if name.startswith("map-")]
    found = ", ".join(f"{row.holm:.2g} at {row.labels} labels" for row in analysis.joint.itertuples())
    return page.join(
        page.table(["Choice", "Share (%)", "By chance (p)"], rows, DECIDES + untold),
        page.picture(drawn["levels"], "levels", LEVELS, LEVELS),
        *(page.picture(drawn[name], name, MAP, MAP) for name in names),
        parts().paragraphs([CHANCE.format(found)]),
    )


def _average(analysis: Analysis) -> Markup:
    table = analysis.average(CLAIM)
    margins = {f"within {name}, p": f"within {name}" for name in MARGINS}
    if analysis.is_in_paper:
        margins[f"within {HALF}, p"] = "within half the paper’s"
    yes, no = page.verdict("yes", "=", "good"), page.verdict("not shown", "?", "open")
    rows = [
        [
            f"{row['labels']:.0f} labels, {row['budget']:.0f} steps",
            signed(row),
            *(yes if row[name] < LEVEL else no for name in margins),
        ]
        for _, row in table.iterrows()
    ]
    head = ["Setting", "Lead (points)", *margins.values()]
    return page.table(head, rows, AVERAGE.format(int(table["n"].max())))


def _why(drawn: Mapping[str, Figure], frame: pd.DataFrame, choices: int) -> Markup:
    budgets = frame["budget"].unique()
    rows = [
        [measure, *(NONE if np.isnan(one) else f"{one:+.2f}".replace("-", "−") for one in some["correlation"])]
        for measure, some in frame.groupby("measure", sort=False)
    ]
    return page.join(
        page.picture(drawn["mechanism"], "mechanism", MECHANISM, MECHANISM),
        page.table(["What with what", *(f"{budget} steps" for budget in budgets)], rows, WHY.format(choices)),
    )


def _others(layout: Layout, analysis: Analysis, figure: Figure) -> Markup:
    rows = []
    for pair in analysis.comparisons:
        found, budgets = analysis.overall(pair), analysis.paired[pair]["budget"].nunique()
        rows.append([paper.comparison_name(*pair), signed(found), f"{found.n:.0f}", str(budgets)])
    arms = dict.fromkeys(arm for pair in analysis.comparisons for arm in pair)
    about = {method.arm: method.about for method in layout.config.methods.values()}
    return page.join(
        page.table(["Comparison", "Lead (points)", "Ways of pre-training", "Budgets"], rows, OVERALL),
        page.picture(figure, "others", OTHERS, OTHERS),
        parts().definitions([(paper.name_and_key(arm), about[arm]) for arm in arms]),
    )


def _space(analysis: Analysis) -> Markup:
    rows = []
    for name, factor in analysis.design.factors.items():
        levels = ", ".join(factor.levels) if factor.levels else f"{factor.low:g} to {factor.high:g} ({factor.scale})"
        rows.append([name, f"{factor.stage}: {levels}", factor.source])
    return page.table(["Choice", "Levels", "Why a reader could have made it"], rows)


def _origin(analysis: Analysis, command: str) -> Markup:
    table = analysis.table
    facts = {name: ", ".join(map(str, table[name].unique())) for name in ("device", "cpu", "torch", "commit", "data")}
    facts |= {"runs": str(len(table)), "post-transfer hours": f"{table['transfer_seconds'].sum() / 3600:.1f}"}
    facts |= {"seeds of the distances": ", ".join(map(str, analysis.design.nearness.seeds))}
    chosen = analysis.levels.loc[np.sort(table["universe"].unique())].reset_index(names="universe")
    return page.join(
        parts().command(command),
        parts().definitions(list(facts.items())),
        page.data_frame(chosen, "What each universe chose."),
    )
