"""Intervals and tests over seeds, for one method and for paired differences between two, and verdicts on the paper.

Runs with the same seed share labelled subset, initialisation and batch order in every method, so methods are compared
by their per-seed differences. What cannot be computed is NaN, never a guess: so are intervals and tests that rest on a
standard deviation (see `deviation`) of fewer than two seeds, or of seeds that are all equal. How often the
intervals hold what they should is measured by `python -m lautum.studies.coverage`.
"""

from math import exp, log1p, pi, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from lautum.lazy import integrate, stats

BOOTSTRAP_RESAMPLES = 9999
PERMUTATIONS = 2**16  # the sign-flip test enumerates all sign patterns up to 16 seeds and samples this many beyond
CAUCHY_SCALE = np.sqrt(0.5)  # of the prior on mean / sd in the Bayes factor


class Interval(NamedTuple):
    low: float
    high: float


class PairedComparison(NamedTuple):
    """Method minus baseline over common seeds."""

    n: int  # common seeds
    mean: float  # mean difference
    low: float  # Student t interval of the mean difference
    high: float
    bca_low: float  # the same by BCa bootstrap
    bca_high: float
    images_low: float  # for other seeds and other test images
    images_high: float
    run_low: float  # prediction interval of the difference in one further seed
    run_high: float
    p: float  # two-sided sign-flip test
    superiority: float  # P(method > baseline)
    sd: float  # `deviation` of the differences over seeds
    p_t: float  # two-sided t test
    e: float  # Bayes factor of the t test, an e-value


NO_INTERVAL = Interval(np.nan, np.nan)
ROUND_OFF = 1e-12  # a standard deviation up to this is that of equal values


def deviation(values: np.ndarray) -> float:
    """Standard deviation of `values` (n,), n - 1 degrees of freedom; NaN for n < 2 and where all are equal.

    Equal values, which a few seeds and images can have by chance, do not say that others would be equal, too.
    """
    values = np.asarray(values, dtype=float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else np.nan
    return sd if sd > ROUND_OFF else np.nan


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Student t interval of the mean of `values` (n,); NaN where `deviation` is."""
    return _t_interval(values, confidence, lambda n: 1 / n)


def prediction_interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """Interval for one further run if runs are normal: mean +- t(n - 1) s sqrt(1 + 1/n); NaN where `deviation` is."""
    return _t_interval(values, confidence, lambda n: 1 + 1 / n)


def _t_interval(values: np.ndarray, confidence: float, variance_factor) -> Interval:
    values = np.asarray(values, dtype=float)
    n = len(values)
    if np.isnan(sd := deviation(values)):
        return NO_INTERVAL
    half_width = stdtrit(n - 1, (1 + confidence) / 2) * sd * np.sqrt(variance_factor(n))
    return Interval(values.mean() - half_width, values.mean() + half_width)


def bca_interval(
    values: np.ndarray, rng: np.random.Generator, confidence: float = 0.95, expanded: bool = True
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987) of the mean of `values` (n,).

    `expanded` raises its level to 2 Phi(t sqrt(n / (n - 1))) - 1, t being Student's quantile (Hesterberg 2015, section
    5.5): the bootstrap's distribution of the mean is too narrow by sqrt((n - 1) / n) and knows nothing of the estimated
    variance. It never leaves the range of the values, so below about 7 of them it still covers too little.

    NaN where `deviation` is.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if np.isnan(deviation(values)):
        return NO_INTERVAL
    if expanded:
        quantile = stats.t.ppf((1 + confidence) / 2, n - 1) * np.sqrt(n / (n - 1))
        # Beyond this level 9,999 resamples offer nothing but their extremes.
        confidence = min(float(2 * stats.norm.cdf(quantile) - 1), 1 - 2 / BOOTSTRAP_RESAMPLES)
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=BOOTSTRAP_RESAMPLES, confidence_level=confidence, method="BCa", rng=rng
    )
    return Interval(*map(float, result.confidence_interval))


def seeds_and_images_interval(scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """Interval of the mean of `scores` (n seeds, N images) when both seeds and test images are samples.

    Seeds and images are crossed, every seed predicts every image, so resampling both independently ("pigeonhole"
    bootstrap) overstates the variance of their interaction and understates that of few seeds. This is the interval
    that it approximates, from the mean squares of the two-way layout: the variance of the mean is (MS_seeds + MS_images
    - MS_interaction) / (n N), with Satterthwaite's degrees of freedom.

    NaN for n < 2 or N < 2, and where neither seeds nor images vary.
    """
    scores = np.asarray(scores, dtype=float)
    n, images = scores.shape
    if n < 2 or images < 2:
        return NO_INTERVAL
    mean, by_seed, by_image = scores.mean(), scores.mean(axis=1), scores.mean(axis=0)
    degrees = np.array([n - 1, images - 1, (n - 1) * (images - 1)])
    interaction = scores - by_seed[:, None] - by_image[None, :] + mean
    squares = images * np.sum((by_seed - mean) ** 2), n * np.sum((by_image - mean) ** 2), np.sum(interaction**2)
    mean_squares = np.array(squares) / degrees
    # Images have no negative variance: never below the variance over seeds alone.
    combined = max(mean_squares @ [1, 1, -1], mean_squares[0])
    error = np.sqrt(combined / (n * images))
    if error <= ROUND_OFF:
        return NO_INTERVAL
    freedom = combined**2 / np.sum(mean_squares**2 / degrees)
    half_width = stats.t.ppf((1 + confidence) / 2, max(freedom, 1)) * error
    return Interval(mean - half_width, mean + half_width)


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


def t_test_p(differences: np.ndarray) -> float:
    """Two-sided p of the paired t test that the mean of `differences` (n,) is 0; NaN where `deviation` is."""
    return float(2 * stdtr(len(differences) - 1, -abs(t_statistic(differences))))


def t_statistic(differences: np.ndarray) -> float:
    """Mean of `differences` (n,) over its standard error; NaN where `deviation` is."""
    sd = deviation(differences)
    return np.nan if np.isnan(sd) else float(np.mean(differences) / (sd / np.sqrt(len(differences))))


def bayes_factor(differences: np.ndarray) -> float:
    """The Bayes factor for a mean other than 0 of the paired t test (JZS; Rouder et al. 2009), of differences (n,).

    Prior: Cauchy with scale `CAUCHY_SCALE` on mean / sd, 1 / sd^2 on the variance. For independent normal differences
    of mean 0 and any variance, the probability that it *ever* reaches 1 / a as seeds are added is at most a, whatever
    decides when to stop (Hendriksen, de Heide & Gruenwald 2021, Bayesian Analysis 16: with that prior on the variance
    it is a likelihood ratio of what does not depend on the unit, hence a martingale that begins at 1, for which
    Ville's inequality holds). So it is an e-value: 20 corresponds to 5 %. It is not adjusted for a number of
    comparisons.

    NaN where `deviation` is.
    """
    n, t = len(differences), t_statistic(differences)
    if np.isnan(t):
        return np.nan
    information = n * float(CAUCHY_SCALE) ** 2

    # Eq. 1 of Rouder et al. with g = 1 / z^2, for which z is half-normal.
    def integrand(z: float) -> float:
        shrunk = log1p(t**2 / (n - 1)) - log1p(t**2 * z**2 / ((z**2 + information) * (n - 1)))
        return sqrt(2 / pi) * z / sqrt(z**2 + information) * exp(n / 2 * shrunk - z**2 / 2)

    try:
        return float(integrate.quad(integrand, 0, np.inf)[0])
    except OverflowError:
        return np.inf


def probability_of_superiority(method: np.ndarray, baseline: np.ndarray) -> float:
    """P(method > baseline): the fraction of pairs (n,) that the method wins, ties counted half; NaN for n = 0."""
    wins = np.sign(np.round(np.asarray(method, dtype=float) - np.asarray(baseline, dtype=float), 12))
    return float((1 + wins.mean()) / 2) if len(wins) else np.nan


def paired_comparison(method: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> PairedComparison:
    """Compare two methods by their correct predictions (n seeds, N images), bool, of the same seeds and images.

    Raises ValueError when their shapes differ.
    """
    if method.shape != baseline.shape:
        raise ValueError(f"method has shape {method.shape} and baseline {baseline.shape}; they must be paired by seed")
    scores = method.astype(float) - baseline
    differences = method.mean(axis=1) - baseline.mean(axis=1)
    return PairedComparison(
        len(differences),
        float(differences.mean()) if len(differences) else np.nan,
        *mean_interval(differences),
        *bca_interval(differences, rng),
        *seeds_and_images_interval(scores),
        *prediction_interval(differences),
        p=sign_flip_p(differences, rng),
        superiority=probability_of_superiority(method.mean(axis=1), baseline.mean(axis=1)),
        sd=deviation(differences),
        p_t=t_test_p(differences),
        e=bayes_factor(differences),
    )


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values (m,) of a family of m; one that is not there yet (NaN) counts as 1."""
    p_values = np.asarray(p_values, dtype=float)
    missing = np.isnan(p_values)
    if missing.all():
        return p_values.copy()
    family = np.where(missing, 1.0, p_values)
    order = np.argsort(family)
    steps = np.maximum.accumulate(family[order] * np.arange(len(family), 0, -1))
    adjusted = np.empty(len(family))
    adjusted[order] = np.minimum(steps, 1)
    return np.where(missing, np.nan, adjusted)


# On an order, and on the size of a difference: each its own words.
REPRODUCED, UNRESOLVED, CONTRADICTED = "reproduced", "consistent but unresolved", "contradicted"
AGREES, UNCERTAIN, DIFFERS = "agrees", "too uncertain", "differs"
UNKNOWN = "unknown"
ORDERS = {  # what verdicts on an order are called in short, as columns that count them
    REPRODUCED: "reproduced",
    UNRESOLVED: "unresolved",
    CONTRADICTED: "contradicted",
    UNKNOWN: "unknown",
}


def verdict_on_size(figure: float, run: Interval, spread: float) -> str:
    """Does the `figure` of the paper, taken as one run, agree with the prediction interval `run` for one run of ours?

    Differs: it lies outside. Agrees: it lies inside, and the interval is no wider than `spread`, the range of the
    paper's figures over methods at that label count, so that it could have lain outside. Too uncertain: it lies inside
    a wider interval. Unknown: there is no figure or no interval.
    """
    if np.isnan([figure, *run]).any():
        return UNKNOWN
    if not run.low <= figure <= run.high:
        return DIFFERS
    return AGREES if run.high - run.low <= spread else UNCERTAIN


def verdict_on_order(figure: float, mean: Interval) -> str:
    """Is the sign of the paper's difference `figure` that of ours, given the interval `mean` of our mean difference?

    Reproduced: the interval lies on the paper's side of 0. Contradicted: on the other side. Unresolved: it holds 0.
    """
    if np.isnan([figure, *mean]).any():
        return UNKNOWN
    if mean.low <= 0 <= mean.high:
        return UNRESOLVED
    return REPRODUCED if np.sign(mean.low) == np.sign(figure) else CONTRADICTED


def verdict_on_claim(verdicts: list[str]) -> str:
    """One verdict for a claim made at several label counts.

    Contradicted if one of them is, reproduced if all are, unknown if none is known, else unresolved.
    """
    known = [verdict for verdict in verdicts if verdict != UNKNOWN]
    if CONTRADICTED in known:
        return CONTRADICTED
    if not known:
        return UNKNOWN
    return REPRODUCED if set(verdicts) == {REPRODUCED} else UNRESOLVED
