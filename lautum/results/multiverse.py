"""Everything that docs/universes.md asks of a campaign over universes, computed once, and the sentences that follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lautum import paper
from lautum.experiment.config import Config
from lautum.experiment.layout import Layout
from lautum.experiment.space import is_whole
from lautum.experiment.universes import CLAIM, Universes
from lautum.results import specifications, universes
from lautum.results.equivalence import HALF, LEVEL, MARGINS, equivalence_p
from lautum.results.specifications import Shares
from lautum.results.statistics import holm

TARGET = ("lautum", "lautum_source")  # whether it is the target's images that help
TRANSFER = ("standard", "target_only")  # whether there is any transfer
SEED = 2019  # of random swaps and bootstrap samples


@dataclass(frozen=True)
class Analysis:
    """What the runs of a campaign say; only of universes in which no run is missing."""

    design: Universes
    comparisons: Sequence[tuple[str, str]]
    figures: dict[int, dict[str, float]]  # the paper's accuracy by label count and method
    runs: pd.DataFrame  # `universes.long`
    table: pd.DataFrame  # `universes.read`, of complete universes
    chosen: list[dict[str, str | float]]  # by each universe, see `chosen`

    @classmethod
    def of(cls, layout: Layout) -> "Analysis":
        """The analysis of a configuration's collected runs. Raises LautumError as `universes.read`."""
        config = layout.config
        assert config.universes is not None
        task = config.tasks[config.grid.tasks[0]]
        figures = {
            labels: {name: paper.accuracy(task.paper_table, name, labels) for name in paper.METHOD_NAMES}
            for labels in task.label_counts
        }
        table = universes.complete(layout, universes.read(layout))
        runs = universes.long(layout, table)
        # Two methods that are not run in every universe may have none in common yet.
        made = [pair for pair in config.comparisons if not specifications.differences(runs, *pair).empty]
        return cls(config.universes, made, figures, runs, table, chosen(config))

    @property
    def count(self) -> int:
        """How many universes are complete."""
        return int(self.table["universe"].nunique())

    @property
    def is_in_paper(self) -> bool:
        """Whether the paper has figures for the campaign's task."""
        return not np.isnan([list(row.values()) for row in self.figures.values()]).any()

    @property
    def budgets(self) -> list[int]:
        """Post-transfer steps after which runs were evaluated."""
        return sorted(self.runs["budget"].unique())

    @cached_property
    def paired(self) -> dict[tuple[str, str], pd.DataFrame]:
        """Of each comparison, `specifications.differences`."""
        return {pair: specifications.differences(self.runs, *pair) for pair in self.comparisons}

    @cached_property
    def gains(self) -> dict[tuple[str, str], pd.DataFrame]:
        """Of each comparison, `specifications.gains`."""
        return {pair: specifications.gains(paired) for pair, paired in self.paired.items()}

    @cached_property
    def means(self) -> dict[tuple[str, str], pd.DataFrame]:
        """As `gains`, of differences that were averaged over the label counts first: universe, budget, n, gain, ..."""
        means = {}
        for pair, paired in self.paired.items():
            pooled = paired.groupby(["universe", "budget", "seed"])["difference"].mean().reset_index().assign(labels=0)
            means[pair] = specifications.gains(pooled).drop(columns="labels")
        return means

    @cached_property
    def distances(self) -> pd.DataFrame:
        """Of Standard, `specifications.distances` to the paper's figures; of seeds that no gain is taken from."""
        nearness = self.design.nearness
        standard = {labels: row["standard"] for labels, row in self.figures.items()}
        return specifications.distances(self.runs, nearness.method, nearness.seeds, standard)

    @cached_property
    def selections(self) -> dict[str, pd.DataFrame]:
        """The claim's `gains` of all specifications, of those near the paper, and of those where transfer helps."""
        gains = self.gains[CLAIM]
        chosen = {"all": gains}
        if self.is_in_paper:
            near = self.distances.query(f"distance <= {specifications.NEAR}")[["universe", "budget"]]
            chosen["near the paper"] = gains.merge(near, on=["universe", "budget"])
        if TRANSFER in self.gains:
            helps = self.gains[TRANSFER].query("low > 0")[specifications.SPECIFICATION]
            chosen["where transfer helps"] = gains.merge(helps, on=specifications.SPECIFICATION)
        return chosen

    @cached_property
    def shares(self) -> dict[str, Shares]:
        """Of the claim's `selections`, how many lie above and below zero."""
        return {
            name: specifications.shares(table, self.design.crossed, np.random.default_rng(SEED))
            for name, table in self.selections.items()
        }

    @cached_property
    def joint(self) -> pd.DataFrame:
        """The test of no difference anywhere, for each label count: labels, p, holm."""
        rows = []
        for labels, some in self.paired[CLAIM].groupby("labels"):
            p = specifications.joint_p(some, self.design.crossed, np.random.default_rng(SEED))
            rows.append([labels, p])
        table = pd.DataFrame(rows, columns=["labels", "p"])
        return table.assign(holm=holm(table["p"].to_numpy()))

    def average(self, pair: tuple[str, str]) -> pd.DataFrame:
        """`specifications.average_gains` of a comparison, with the p of equivalence within each margin."""
        table = specifications.average_gains(self.paired[pair], self.design.crossed)
        for name, margin in MARGINS.items():
            table[f"within {name}, p"] = [equivalence_p(row.gain, row.sd, row.n, margin) for row in table.itertuples()]
        if pair == CLAIM and self.is_in_paper:
            halves = {labels: (row["lautum"] - row["standard"]) / 2 for labels, row in self.figures.items()}
            table[f"within {HALF}, p"] = [
                equivalence_p(row.gain, row.sd, row.n, halves[row.labels]) for row in table.itertuples()
            ]
        return table

    def overall(self, pair: tuple[str, str]) -> pd.Series:
        """A comparison's gain averaged over budgets and label counts: n (pre-transfer choices), gain, low, high, sd."""
        pooled = self.paired[pair].assign(budget=0, labels=0)
        return specifications.average_gains(pooled, self.design.crossed).iloc[0]

    @cached_property
    def levels(self) -> pd.DataFrame:
        """What each universe chose: a row for each, a column for each factor, ranges as lower and upper half.

        Of factors that play a part in the claim.
        """
        positions, of_claim = self.design.positions(), self.design.of_claim()
        columns = {}
        for number, (name, factor) in enumerate(self.design.factors.items()):
            if name not in of_claim:
                continue
            if factor.levels is None:
                middle = factor.at(0.5)[0]
                names = [f"below {middle:g}", f"from {middle:g}"]
                values = [names[int(at >= 0.5)] for at in positions[:, number]]
            else:
                names, values = list(factor.levels), [factor.at(at)[0] for at in positions[:, number]]
            columns[name] = pd.Categorical(values, names)
        return pd.DataFrame(columns)

    @cached_property
    def decomposition(self) -> pd.DataFrame:
        """Which factor explains how much of the claim's gain."""
        return specifications.decomposition(
            self.gains[CLAIM], self.levels, self.paired[CLAIM], self.design.crossed, np.random.default_rng(SEED)
        )

    @cached_property
    def left(self) -> pd.DataFrame:
        """What pre-training leaves, a mean over the seeds that gains are taken from: by arm and universe."""
        paired = self.table.loc[~self.table["seed"].isin(self.design.nearness.seeds)]
        return pd.DataFrame(paired.groupby(["arm", "universe"])[["logit_scale", "source_accuracy"]].mean())

    @cached_property
    def mechanism(self) -> pd.DataFrame:
        """What pre-training leaves against the gain, for each budget: measure, budget, correlation, n."""
        rows = []
        left = self.left.swaplevel()
        for arm, name in ((CLAIM[0], "Lautum"), (TARGET[1], "Lautum of source images")):
            if arm not in self.table["arm"].unique():
                continue
            change = left.xs(arm, level="arm") - left.xs(CLAIM[1], level="arm")
            gains = specifications.gains(specifications.differences(self.runs, arm, CLAIM[1]))
            means = gains.groupby(["budget", "universe"])["gain"].mean()
            for budget in self.budgets:
                gain = means.xs(budget, level="budget")
                for measure, label in (("logit_scale", "logit scale"), ("source_accuracy", "source accuracy")):
                    found = specifications.correlation(change[measure], gain)
                    rows.append([f"gain of {name} and its {label}", budget, *found])
                if arm == TARGET[1]:
                    claim = self.gains[CLAIM].groupby(["budget", "universe"])["gain"].mean()
                    found = specifications.correlation(claim.xs(budget, level="budget"), gain)
                    rows.append(["gain of Lautum and gain of Lautum of source images", budget, *found])
        return pd.DataFrame(rows, columns=["measure", "budget", "correlation", "n"])

    def sentences(self) -> list[str]:
        """The answer, by the rules of docs/universes.md: of the claim, of the paper's own level, of the reason."""
        level = [self._level()] if self.is_in_paper else []
        return [self._claim(), *level, *([self._reason()] if TARGET in self.paired else [])]

    def _claim(self) -> str:
        of, overall = self.shares["all"], self.overall(CLAIM)
        average = self.average(CLAIM)
        practically_zero = (average["within 2 points, p"] < LEVEL).all()
        shares = f"in {of.above:.0%} of {of.n} specifications (universe, budget and number of labels) Lautum was ahead "
        shares += f"of Standard, in {of.below:.0%} behind"
        if of.above >= 0.5 and of.above > of.below:
            return f"The claim holds in most of the settings that a reader could have meant: {shares}."
        if of.above < 0.5 and self.joint["holm"].min() < LEVEL:
            return f"Whether the claim holds depends on the setting: {shares}. {self._decides()}"
        if self.joint["holm"].min() >= LEVEL and practically_zero:
            return f"In the settings examined, Lautum’s pre-training makes no practical difference: {shares}."
        return (
            f"The settings examined do not decide it: Lautum’s lead was {signed(overall)} points on average; {shares}."
        )

    def _decides(self) -> str:
        table = self.decomposition.set_index("factor")["share"]
        first, unclear = self.decomposition.iloc[0], int(table.loc[: specifications.BETWEEN].isna().sum())
        # What more than half of all that is explained is due to, no other choice can surpass.
        if unclear and not first["share"] > (1 - table["not explained"]) / 2:
            choices = self.table["universe"].floordiv(self.design.crossed).nunique()
            between, within = table[specifications.BETWEEN], table[specifications.WITHIN]
            if choices == 1 or np.isnan(between):  # the lead may be the same everywhere
                return "What is finished does not tell which choice decides."
            return (
                f"{choices} ways of pre-training do not tell which choice decides: {between:.0%} of the variance lies "
                f"between them, {within:.0%} between the post-transfer choices within them."
            )
        among = f", of the choices that so few universes tell apart (all but {unclear})," if unclear else ""
        chance = "" if first["holm"] < LEVEL else ", not shown to be more than chance gives"
        return f"What decides most{among} is the {first['factor']} ({first['share']:.0%} of the variance{chance})."

    def _level(self) -> str:
        near = self.selections["near the paper"]
        if near.empty:
            nearest = self.distances.loc[self.distances["distance"].idxmin()]
            return (
                "No universe brings Standard near the paper’s accuracy at any budget; the nearest, universe "
                f"{nearest['universe']:.0f} after {nearest['budget']:.0f} steps, is {100 * nearest['distance']:.1f} "
                "points away."
            )
        pooled = near.merge(self.paired[CLAIM], on=specifications.SPECIFICATION).assign(budget=0, labels=0)
        found = specifications.average_gains(pooled, self.design.crossed).iloc[0]
        of = near.groupby(["universe", "budget"]).ngroups
        gains = ", ".join(f"{100 * (row['lautum'] - row['standard']):.1f}" for row in self.figures.values())
        pairs = f"{of} pair{'s' * (of != 1)} of universe and budget"
        return (
            f"Where Standard is as accurate as in the paper ({pairs}), Lautum’s lead was {signed(found)} points on "
            f"average; the paper’s gains are {gains}."
        )

    def _reason(self) -> str:
        found = self.overall(TARGET)
        p, worth = equivalence_p(found.gain, found.sd, int(found.n), MARGINS["2 points"]), signed(found)
        if found.low > 0:
            return f"It is the target’s images that help: they are worth {worth} points over source images."
        if p < LEVEL:
            return f"It is not the target’s images that help: they are worth {worth} points over source images."
        return f"Whether the target’s images help is not decided: they are worth {worth} points over source images."


def chosen(config: Config) -> list[dict[str, str | float]]:
    """What each universe chose, by factor, as it was trained: of what counts something, a whole number."""
    design = config.universes
    assert design is not None
    schemas = {"pretrain": config.pretrain_schema, "transfer": config.transfer_schema}
    whole = set()
    for name, factor in design.factors.items():
        for method in config.grid.methods:
            if config.methods[method].arm in (factor.methods or ()):
                schema = schemas[factor.stage](method)
                if factor.setting in schema.model_fields and is_whole(schema, factor.setting):
                    whole.add(name)
    return [
        {name: round(float(level)) if name in whole else level for name, level in levels.items()}
        for levels in design.levels()
    ]


def signed(found: pd.Series) -> str:
    """A mean with its interval, if it has one, in points: of `average_gains` a row, or of `Analysis.overall`."""
    mean, low, high = (f"{100 * found[name]:+.1f}".replace("-", "−") for name in ("gain", "low", "high"))
    return mean if np.isnan(found.low) else f"{mean} [{low}, {high}]"
