"""The analysis of campaigns over universes against independent computations, and how often its verdicts are wrong."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from lautum.results import specifications
from lautum.results.multiverse import Analysis

SEEDS, BUDGETS, LABELS = (0, 1, 2), (25, 100), (50, 200)


def runs(rng: np.random.Generator, universes: int = 12, effect=0.0, noise: float = 0.02) -> pd.DataFrame:
    """Accuracies of arms a and b; `effect`: of a over b, in each universe or in all."""
    effects = np.broadcast_to(effect, universes)
    rows = []
    for universe in range(universes):
        for labels in LABELS:
            for seed in SEEDS:
                common = rng.normal(0.6, 0.05)
                for arm, more in (("a", effects[universe]), ("b", 0.0)):
                    for budget in BUDGETS:
                        accuracy = common + more + rng.normal(0, noise) + budget / 1000
                        rows.append([universe, arm, labels, seed, budget, accuracy])
    return pd.DataFrame(rows, columns=["universe", "arm", "labels", "seed", "budget", "accuracy"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_gains_are_means_over_paired_seeds_with_their_t_interval(rng):
    table = runs(rng, 3, effect=[0.1, 0.0, -0.1])
    # A run without its partner plays no part.
    lost = (table["arm"] == "a") & (table["universe"] == 1) & (table["seed"] == 2)
    found = specifications.gains(specifications.differences(table[~lost], "a", "b"))
    assert len(found) == 3 * len(BUDGETS) * len(LABELS)
    for row in found.itertuples():
        some = table.query(f"universe == {row.universe} & budget == {row.budget} & labels == {row.labels}")
        wide = some.pivot(index="seed", columns="arm", values="accuracy")
        values = (wide["a"] - wide["b"]).loc[[0, 1] if row.universe == 1 else [0, 1, 2]]
        assert row.n == len(values) and row.gain == pytest.approx(values.mean())
        expected = stats.ttest_1samp(values, 0).confidence_interval()
        assert (row.low, row.high) == pytest.approx((expected.low, expected.high))


def test_the_distance_to_the_paper_is_that_of_given_seeds(rng):
    table = runs(rng, 2)
    figures = {50: 0.34, 200: 0.9}
    found = specifications.distances(table, "b", (1, 2), figures).set_index(["universe", "budget"])
    squares, above = [], 0
    for labels, figure in figures.items():
        some = table.query(f"universe == 1 & budget == 100 & labels == {labels} & arm == 'b' & seed > 0")
        squares.append((some["accuracy"].mean() - figure) ** 2)
        above += some["accuracy"].mean() > figure
    assert found.loc[(1, 100), "distance"] == pytest.approx(np.sqrt(np.mean(squares)))
    assert found.loc[(1, 100), "above"] == above == 1
    unknown = specifications.distances(table, "b", (1, 2), figures | {50: np.nan})
    assert unknown[["distance", "above"]].isna().all(axis=None)


def test_shares_count_intervals_on_either_side_of_zero(rng):
    effect = [0.3] * 6 + [-0.3] * 3 + [0.0] * 3
    table = specifications.gains(specifications.differences(runs(rng, 12, effect, noise=0.001), "a", "b"))
    found = specifications.shares(table, 2, rng)
    assert found.n == 48
    assert found.above == pytest.approx((table["low"] > 0).mean()) and 0.5 <= found.above < 0.6
    assert found.below == pytest.approx((table["high"] < 0).mean())
    # Six blocks, of which three lie above: resampled, hardly any to hardly all of them do.
    assert 0 < found.above_interval.low < 0.25 and 0.75 < found.above_interval.high < 1
    assert specifications.shares(table.iloc[:0], 3, rng).n == 0
    # Where none lies on a side, every resample has none: that is no interval.
    none = specifications.shares(table[table["universe"] < 6].assign(universe=np.repeat(range(6), 4)), 1, rng)
    assert none.below == 0 and np.isnan(none.below_interval).all() and np.isnan(none.above_interval).all()
    assert not np.isnan(found.below_interval).any()


def test_the_joint_test_rejects_a_difference_and_holds_its_level(rng):
    def p(effect) -> float:
        paired = specifications.differences(runs(rng, 12, effect), "a", "b")
        return specifications.joint_p(paired[paired["labels"] == 50], 3, rng)

    assert p([0.2] * 6 + [-0.2] * 6) < 0.05  # of no mean, but of a difference in every universe
    null = np.array([p(0.0) for _ in range(60)])
    # Of 60 tests at 10 %, more than 13 reject with a probability of 1 %.
    assert (null < 0.1).sum() <= 13 and stats.kstest(null, "uniform").pvalue > 0.001


def test_average_gains_rest_on_pretransfer_choices(rng):
    paired = specifications.differences(runs(rng, 12, 0.05), "a", "b")
    row = specifications.average_gains(paired, 3).set_index(["budget", "labels"]).loc[(25, 50)]
    some = paired.query("budget == 25 & labels == 50")
    by_choice = [some[some["universe"] // 3 == choice]["difference"].mean() for choice in range(4)]
    expected = stats.ttest_1samp(by_choice, 0).confidence_interval()
    assert (row["n"], row["gain"]) == (4, pytest.approx(np.mean(by_choice)))
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))


def test_the_decomposition_is_an_analysis_of_variance_of_type_two(rng):
    levels = pd.DataFrame(
        {
            "head": rng.choice(["kept", "fresh"], 24),
            "optimiser": rng.choice(["adam", "sgd", "other"], 24),
            "one": "same",
        }
    )
    effect = np.where(levels["head"] == "kept", 0.1, 0.0) + np.where(levels["optimiser"] == "sgd", 0.02, 0.0)
    paired = specifications.differences(runs(rng, 24, effect), "a", "b")
    table = specifications.gains(paired)
    both = specifications.decomposition(table, levels, paired, 1, rng).set_index("factor")
    found, chance = both["share"], both["holm"]
    means = table.groupby(["universe", "budget"])["gain"].mean().reset_index()
    frame = means.join(levels, on="universe")
    formula = "gain ~ C(head) + C(optimiser) + C(budget)"
    model = anova_lm(ols(formula, frame).fit(), typ=2)
    total = ((frame["gain"] - frame["gain"].mean()) ** 2).sum()
    for name in ("head", "optimiser", "budget"):
        assert found[name] == pytest.approx(model.loc[f"C({name})", "sum_sq"] / total, abs=1e-9)
    assert found["not explained"] == pytest.approx(model.loc["Residual", "sum_sq"] / total)
    assert found.index[0] == "head" and "one" not in found
    assert chance["head"] == pytest.approx(3 / 1000) and chance["budget"] > 0.05
    # What the same model leaves of each seed's own gains, less the mean over seeds.
    left = []
    for seed in SEEDS:
        own = paired[paired["seed"] == seed].groupby(["universe", "budget"])["difference"].mean()
        alone = frame.assign(gain=own.reindex(list(zip(frame["universe"], frame["budget"], strict=True))).to_numpy())
        alone["gain"] -= frame["gain"]
        left.append(anova_lm(ols(formula, alone).fit(), typ=2).loc["Residual", "sum_sq"])
    assert found["of it, noise of the seeds"] == pytest.approx(sum(left) / 6 / total)


def test_noise_alone_is_all_that_is_left_and_no_choice_decides(rng, monkeypatch):
    """Of gains that differ by noise, and between ways of pre-training by something that no choice is behind."""
    monkeypatch.setattr(specifications, "PERMUTATIONS", 59)
    left, found, repeats = [], 0, 60
    for number in range(repeats):
        way = np.repeat(rng.normal(0, 0.1, 8), 3) * (number % 2)
        levels = pd.DataFrame({"rate": np.repeat(rng.choice(["low", "high"], 8), 3)})
        levels["head"] = rng.choice(["kept", "fresh"], 24)
        levels["optimiser"] = rng.choice(["adam", "sgd", "other"], 24)
        paired = specifications.differences(runs(rng, 24, way), "a", "b")
        table = specifications.decomposition(specifications.gains(paired), levels, paired, 3, rng).set_index("factor")
        found += table["holm"].min() < 0.1
        if not number % 2:
            left.append(table.loc["of it, noise of the seeds", "share"] / table.loc["not explained", "share"])
    assert np.mean(left) == pytest.approx(1, abs=0.1)
    # Of 60 families at 10 %, more than 13 have a factor that is called significant with a probability of 1 %.
    assert found <= 13


def test_choices_that_are_not_told_apart_have_no_share(rng):
    head = rng.choice(["kept", "fresh"], 12)
    levels = pd.DataFrame({"head": head, "scaling": np.where(head == "kept", "unit", "standardised")})
    levels["optimiser"] = rng.choice(["adam", "sgd"], 12)
    paired = specifications.differences(runs(rng, 12, np.where(head == "kept", 0.1, 0.0)), "a", "b")
    table = specifications.gains(paired)
    found = specifications.decomposition(table, levels, paired, 1, rng).set_index("factor")
    assert found.loc[["head", "scaling"]].isna().all(axis=None)
    assert found.loc[["optimiser", "budget"]].notna().all(axis=None)
    alone = specifications.decomposition(table, levels.drop(columns="scaling"), paired, 1, rng).set_index("factor")
    assert alone.loc["head", "share"] > 0.5


@pytest.mark.parametrize("crossed", [1, 2, 3])
def test_what_lies_between_universes_is_told_whatever_made_them_differ(crossed, rng):
    """Also where as many choices as universes make any gains "explained"."""
    levels = pd.DataFrame(rng.choice(["a", "b"], (6, 8)), columns=list("ABCDEFGH"))
    paired = specifications.differences(runs(rng, 6, rng.normal(0, 0.1, 6)), "a", "b")
    table = specifications.gains(paired)
    found = specifications.decomposition(table, levels, paired, crossed, rng).set_index("factor")["share"]
    means = table.groupby(["universe", "budget"])["gain"].mean().reset_index()
    means["way"] = means["universe"] // crossed
    total = ((means["gain"] - means["gain"].mean()) ** 2).sum()
    between, of_all = (
        anova_lm(ols(f"gain ~ C({name}) + C(budget)", means).fit(), typ=1).loc[f"C({name})", "sum_sq"] / total
        for name in ("way", "universe")
    )
    assert found[specifications.BETWEEN] == pytest.approx(between)
    assert found[specifications.WITHIN] == pytest.approx(of_all - between, abs=1e-12)
    assert found[list("ABCDEFGH")].isna().all()


def test_shares_of_few_ways_of_pretraining_have_no_interval(rng):
    table = specifications.gains(specifications.differences(runs(rng, 10, np.zeros(10)), "a", "b"))
    few, enough = (specifications.shares(table, crossed, rng) for crossed in (3, 2))
    assert np.isnan([*few.above_interval, *few.below_interval]).all()
    assert not np.isnan([*enough.above_interval, *enough.below_interval]).any() and few.n == enough.n


@pytest.mark.parametrize(
    ("shares", "chance", "said"),
    [
        ({"head": 0.6, "budget": 0.1}, 0.049, "What decides most is the head (60% of the variance)."),
        (
            {"head": 0.6, "budget": 0.1},
            0.05,
            "What decides most is the head (60% of the variance, not shown to be more than chance gives).",
        ),
        (
            {"head": 0.6, "lambda": np.nan, "scaling": np.nan},
            0.003,
            "What decides most, of the choices that so few universes tell apart (all but 2), is the head (60% of the "
            "variance).",
        ),
        *(
            (
                told | {"lambda": np.nan, "scaling": np.nan},
                0.003,
                "2 ways of pre-training do not tell which choice decides: 70% of the variance lies between them, 20% "
                "between the post-transfer choices within them.",
            )
            for told in ({"budget": 0.45}, {})
        ),
    ],
)
def test_what_decides_is_named_only_where_it_can_be_told(shares, chance, said):
    analysis = Analysis(SimpleNamespace(crossed=2), (), {}, None, pd.DataFrame({"universe": [0, 1, 2, 3]}), [])
    rest = {specifications.BETWEEN: 0.7, specifications.WITHIN: 0.2, "not explained": 0.05}
    table = pd.DataFrame([*shares.items(), *rest.items()], columns=["factor", "share"])
    vars(analysis)["decomposition"] = table.assign(holm=[chance] * len(shares) + [np.nan] * len(rest))
    assert analysis._decides() == said


def test_correlation_is_of_what_both_have():
    one, other = pd.Series([1.0, 2.0, 3.0, 4.0]), pd.Series([9.0, 8.0, np.nan, 1.0], index=[0, 1, 2, 3])
    assert specifications.correlation(one, other) == (-1.0, 3)
    assert np.isnan(specifications.correlation(one[:2], other[:2])[0])
