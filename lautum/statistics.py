"""Intervals and tests over seeds, for one method and for paired differences between two.

Runs with the same seed share labelled subset, initialisation and batch order in every method, so methods are compared
by their per-seed differences. What cannot be computed (an interval from fewer than two seeds) is NaN, never a guess.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

BOOTSTRAP_RESAMPLES = 9999
PERMUTATIONS = 2**16  # the sign-flip test enumerates all sign patterns up to 16 seeds and samples this many beyond


class Interval(NamedTuple):
    low: float
    high: float


class PairedComparison(NamedTuple):
    """Method minus baseline over common seeds."""

    n: int  # common seeds
    mean: float  # mean difference
    low: float  # BCa bootstrap interval of the mean difference
    high: float
    p: float  # two-sided sign-flip test
    superiority: float  # P(method > baseline)


NO_INTERVAL = Interval(np.nan, np.nan)


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Student t interval of the mean of `values` (n,); NaN for n < 2."""
    return _t_interval(values, confidence, lambda n: 1 / n)


def prediction_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Interval for one further run if runs are normal: mean +- t(n - 1) s sqrt(1 + 1/n); NaN for n < 2."""
    return _t_interval(values, confidence, lambda n: 1 + 1 / n)


def _t_interval(values: np.ndarray, confidence: float, variance_factor) -> Interval:
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return NO_INTERVAL
    half_width = stats.t.ppf((1 + confidence) / 2, n - 1) * values.std(ddof=1) * np.sqrt(variance_factor(n))
    return Interval(values.mean() - half_width, values.mean() + half_width)


def bca_interval(values: np.ndarray, rng: np.random.Generator, confidence: float = 0.95) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987) of the mean of `values` (n,).

    NaN for n < 2. Equal values give an interval of zero width, which says only that no variation was observed.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return NO_INTERVAL
    if np.allclose(values, values[0], rtol=0, atol=1e-12):
        return Interval(values[0], values[0])
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=BOOTSTRAP_RESAMPLES, confidence_level=confidence, method="BCa", rng=rng
    )
    return Interval(*map(float, result.confidence_interval))


def sign_flip_p(differences: np.ndarray, rng: np.random.Generator) -> float:
    """Two-sided p of the paired sign-flip permutation test that differences (n,) are symmetric about 0; NaN for n = 0.

    Exact up to 16 differences. The smallest possible p is 2 / 2^n, so 5 seeds cannot fall below 0.0625.
    """
    if len(differences) == 0:
        return np.nan
    if len(differences) == 1:
        return 1.0  # both sign patterns are as extreme; scipy refuses a single observation
    result = stats.permutation_test(
        (np.asarray(differences, dtype=float),),
        _rounded_mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        rng=rng,
    )
    return float(result.pvalue)


def _rounded_mean(differences: np.ndarray, axis: int) -> np.ndarray:
    # Accuracies are ratios of counts, so sign patterns often tie; unrounded, ties break by the last bit and p is wrong.
    return differences.mean(axis=axis).round(9)


def probability_of_superiority(method: np.ndarray, baseline: np.ndarray) -> float:
    """P(method > baseline): the fraction of pairs (n,) that the method wins, ties counted half; NaN for n = 0."""
    wins = np.sign(np.round(np.asarray(method, dtype=float) - np.asarray(baseline, dtype=float), 12))
    return float((1 + wins.mean()) / 2) if len(wins) else np.nan


def paired_comparison(method: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> PairedComparison:
    """Compare two methods on the same seeds; `method` and `baseline` (n,) are in the same order of seeds.

    Raises ValueError when their lengths differ.
    """
    method, baseline = np.asarray(method, dtype=float), np.asarray(baseline, dtype=float)
    if method.shape != baseline.shape:
        raise ValueError(f"method has shape {method.shape} and baseline {baseline.shape}; they must be paired by seed")
    differences = method - baseline
    return PairedComparison(
        n=len(differences),
        mean=float(differences.mean()) if len(differences) else np.nan,
        **bca_interval(differences, rng)._asdict(),
        p=sign_flip_p(differences, rng),
        superiority=probability_of_superiority(method, baseline),
    )


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values (m,), over those of a family that exist; NaN stays NaN."""
    adjusted = np.asarray(p_values, dtype=float).copy()
    known = ~np.isnan(adjusted)
    if known.any():
        adjusted[known] = multipletests(adjusted[known], method="holm")[1]
    return adjusted
