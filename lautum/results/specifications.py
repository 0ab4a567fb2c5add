"""What a campaign over universes says: gains of one arm over another in every specification, and how far they go.

A specification is a universe and a budget of post-transfer steps, at one label count. docs/universes.md says what is
computed and why; nothing here chooses. All functions take `runs`, a frame with the columns universe, arm, labels, seed,
budget and accuracy (`lautum.results.universes.long`), accuracies as fractions.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from lautum.lazy import stats
from lautum.results.statistics import Interval, deviation, holm, mean_interval

RESAMPLES = 9999
PERMUTATIONS = 999
NEAR = 0.05  # root mean square distance to the paper's figures, declared before the results
SPECIFICATION = ["universe", "budget", "labels"]
FEWEST = 5  # pre-transfer choices: a resample of fewer has hardly any values to take
# Rows of `decomposition`: what lies between universes, whatever made them differ.
BETWEEN, WITHIN = "ways of pre-training, in all they choose", "post-transfer choices within them"


def differences(runs: pd.DataFrame, arm: str, baseline: str) -> pd.DataFrame:
    """Paired differences: SPECIFICATION, seed, difference; one row for each seed that both arms have."""
    ours, theirs = (
        runs[runs["arm"] == name].set_index([*SPECIFICATION, "seed"])["accuracy"] for name in (arm, baseline)
    )
    both = ours.index.intersection(theirs.index)
    return (ours[both] - theirs[both]).rename("difference").reset_index().sort_values([*SPECIFICATION, "seed"])


def gains(paired: pd.DataFrame) -> pd.DataFrame:
    """Of `differences`: SPECIFICATION, n (seeds), gain (their mean), low, high (95 % t interval)."""
    rows = []
    for axes, some in paired.groupby(SPECIFICATION):
        values = some["difference"].to_numpy()
        rows.append([*axes, len(values), values.mean(), *mean_interval(values)])
    return pd.DataFrame(rows, columns=[*SPECIFICATION, "n", "gain", "low", "high"])


def distances(runs: pd.DataFrame, arm: str, seeds: tuple[int, ...], figures: dict[int, float]) -> pd.DataFrame:
    """How far an arm is from the paper: universe, budget, distance (root mean square over label counts), above.

    `above` is the number of label counts at which the arm is more accurate than the paper's figure. Both are NaN where
    a figure is.

    Args:
        seeds: whose mean accuracy is compared.
        figures: the paper's accuracy by label count.
    """
    some = runs[(runs["arm"] == arm) & runs["seed"].isin(seeds)]
    accuracy = some.groupby(["universe", "budget", "labels"])["accuracy"].mean().unstack("labels")
    off = accuracy[list(figures)] - pd.Series(figures)
    distance = off.pow(2).mean(axis=1, skipna=False).pow(0.5)
    return pd.DataFrame({"distance": distance, "above": (off > 0).sum(axis=1).where(distance.notna())}).reset_index()


class Shares(NamedTuple):
    """Of specifications: of how many the interval lies above zero, below, or holds it; with 95 % intervals."""

    n: int
    above: float
    above_interval: Interval
    below: float
    below_interval: Interval


def shares(table: pd.DataFrame, crossed: int, rng: np.random.Generator) -> Shares:
    """Of `gains`; the intervals resample pre-transfer choices, which `crossed` universes each share.

    NaN where there are fewer than FEWEST of these, and where no resample differs from another, as where no interval
    lies on a side: what was seen nowhere may still be somewhere.
    """
    above, below = table["low"] > 0, table["high"] < 0
    if table.empty:
        return Shares(0, np.nan, Interval(np.nan, np.nan), np.nan, Interval(np.nan, np.nan))
    counted = pd.DataFrame({"above": above, "below": below, "n": True})
    blocks = np.stack([some.to_numpy(float).sum(axis=0) for _, some in counted.groupby(table["universe"] // crossed)])
    low = high = np.full(2, np.nan)
    if len(blocks) >= FEWEST:
        sums = blocks[rng.integers(len(blocks), size=(RESAMPLES, len(blocks)))].sum(axis=1)
        low, high = np.quantile(sums[:, :2] / sums[:, 2:], [0.025, 0.975], axis=0)
        low, high = np.where(low < high, [low, high], np.nan)
    return Shares(
        len(table),
        float(above.mean()),
        Interval(float(low[0]), float(high[0])),
        float(below.mean()),
        Interval(float(low[1]), float(high[1])),
    )


def joint_p(paired: pd.DataFrame, crossed: int, rng: np.random.Generator) -> float:
    """p of the hypothesis that the two pre-trainings can be swapped: `differences` of one label count.

    Within each pre-transfer choice and seed the signs of all differences are flipped at once, at random. The statistic
    is the sum over universes of the squared mean gain. The smallest possible p is 1 / (RESAMPLES + 1).
    """
    cells = paired.groupby(["universe", "seed"])["difference"].mean().unstack("seed").to_numpy()
    assert np.isfinite(cells).all(), "every universe has all seeds"
    universes = np.sort(paired["universe"].unique())
    _, block = np.unique(universes // crossed, return_inverse=True)
    signs = rng.choice([-1.0, 1.0], size=(RESAMPLES, block.max() + 1, cells.shape[1]))
    observed = (cells.mean(axis=1) ** 2).sum()
    swapped = ((signs[:, block] * cells).mean(axis=2) ** 2).sum(axis=1)
    return float((1 + (swapped >= observed * (1 - 1e-12)).sum()) / (RESAMPLES + 1))


def average_gains(paired: pd.DataFrame, crossed: int) -> pd.DataFrame:
    """Of `differences`: budget, labels, n (pre-transfer choices), gain, low, high (95 % t interval over them), sd."""
    choices = paired.assign(choice=paired["universe"] // crossed)
    means = choices.groupby(["budget", "labels", "choice"])["difference"].mean()
    rows = []
    for axes, values in means.groupby(["budget", "labels"]):
        some = values.to_numpy()
        rows.append([*axes, len(some), some.mean(), *mean_interval(some), deviation(some)])
    return pd.DataFrame(rows, columns=["budget", "labels", "n", "gain", "low", "high", "sd"])


def decomposition(
    table: pd.DataFrame, levels: pd.DataFrame, paired: pd.DataFrame, crossed: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Which factor explains how much of the variance of the gain (mean over label counts): factor, share, holm.

    An analysis of variance with main effects only, type II: of each factor the sum of squares that it adds to all
    others, as a share of the total; NaN for one that too few universes tell from the others. `holm` is how often a
    factor without effect would explain as much, its levels exchanged at random, after Holm's correction over the
    factors: between pre-transfer choices if universes that share one have it in common, between budgets within each
    universe if it is the budget, else between universes. Then, without a p, what lies between the means of
    pre-transfer choices, which `crossed` universes each share, and between universes within them; what the model
    leaves; and how much of that the noise of the seeds leaves on average.

    Args:
        table: of `gains`.
        levels: a row for each universe, a column for each factor, categorical.
        paired: the `differences` behind the gains, the same seeds in each.
    """
    means = table.groupby(["universe", "budget"])["gain"].mean()
    universe, budget = (means.index.get_level_values(name) for name in ("universe", "budget"))
    places = pd.DataFrame({"universe": universe, "choice": universe // crossed, "budget": budget})
    design = levels.loc[universe].reset_index(drop=True).assign(budget=budget.astype(str))
    factors = [name for name in design if design[name].nunique() > 1]
    codes = {name: pd.get_dummies(design[name].astype(str), drop_first=True).to_numpy(float) for name in factors}
    values = means.to_numpy() - means.mean()
    total = float((values**2).sum())
    if total <= len(values) * 1e-24:  # rounding alone: all shares are unknown where nothing varies
        total = np.nan
    everything = _basis([codes[name] for name in factors], len(values))
    rows = []
    for name in factors:
        others = _basis([codes[other] for other in factors if other != name], len(values))
        if everything.shape[1] - others.shape[1] < codes[name].shape[1]:
            rows.append([name, np.nan, np.nan])
            continue
        found = _added(codes[name], others, values)
        by_chance = [_added(codes[name][order], others, values) for order in _exchanged(places, design[name], rng)]
        as_large = (np.array(by_chance) >= found * (1 - 1e-12)).sum()
        rows.append([name, found / total, (1 + as_large) / (PERMUTATIONS + 1)])
    adjusted = holm(np.array([p for _, _, p in rows]))
    rows = [[name, share, p] for (name, share, _), p in zip(rows, adjusted, strict=True)]
    rows.sort(key=lambda row: (np.isnan(row[1]), -row[1]))

    of_universes, of_choices = (
        pd.Series(values).groupby(places[name]).transform("mean") for name in ("universe", "choice")
    )
    by_seed = paired.groupby(["universe", "budget", "seed"])["difference"].mean().unstack("seed").loc[means.index]
    noise = by_seed.sub(by_seed.mean(axis=1), axis=0).to_numpy()
    seeds = noise.shape[1]
    rest = {
        BETWEEN: (of_choices**2).sum(),
        WITHIN: ((of_universes - of_choices) ** 2).sum(),
        "not explained": (_left(everything, values) ** 2).sum(),
        "of it, noise of the seeds": (_left(everything, noise) ** 2).sum() / (seeds * (seeds - 1))
        if seeds > 1
        else np.nan,
    }
    rows += [[name, part / total, np.nan] for name, part in rest.items()]
    return pd.DataFrame(rows, columns=["factor", "share", "holm"])


def _basis(codes: list[np.ndarray], length: int) -> np.ndarray:
    """An orthonormal basis (length, rank) of what a constant and these columns span."""
    left, sizes, _ = np.linalg.svd(np.column_stack([np.ones(length), *codes]), full_matrices=False)
    return left[:, sizes > 1e-9 * sizes[0]]


def _left(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What an orthonormal basis leaves of values (length,) or (length, m)."""
    return values - basis @ (basis.T @ values)


def _added(codes: np.ndarray, others: np.ndarray, values: np.ndarray) -> float:
    """The sum of squares of values that columns explain beside an orthonormal basis."""
    columns = _left(others, codes)
    found, *_ = np.linalg.lstsq(columns, _left(others, values), rcond=None)
    return float(((columns @ found) ** 2).sum())


def _exchanged(places: pd.DataFrame, levels: pd.Series, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """PERMUTATIONS times, rows in an order that exchanges a factor's levels between the units that chose them.

    `places` is in order of universes.
    """
    if levels.name == "budget":
        for _ in range(PERMUTATIONS):
            yield np.lexsort((rng.random(len(places)), places["universe"]))
        return
    shared = (levels.groupby(places["choice"]).nunique() == 1).all()
    _, first, unit = np.unique(places["choice" if shared else "universe"], return_index=True, return_inverse=True)
    for _ in range(PERMUTATIONS):
        yield rng.permutation(first)[unit]


def correlation(one: pd.Series, other: pd.Series) -> tuple[float, int]:
    """Spearman's rank correlation of two series over their common index, and n; NaN for n < 3 or a constant."""
    both = pd.concat([one, other], axis=1, join="inner").dropna()
    if len(both) < 3 or (both.nunique() < 2).any():
        return np.nan, len(both)
    return float(stats.spearmanr(both.iloc[:, 0], both.iloc[:, 1]).statistic), len(both)
