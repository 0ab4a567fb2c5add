import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from lautum.results import equivalence, statistics


def rng():
    return np.random.default_rng(0)


VALUES = np.array([0.61, 0.64, 0.58, 0.66, 0.63])


def test_mean_interval_by_hand():
    # mean 2, s = 1, n = 3, t(0.975, 2) = 4.302653 (published table)
    low, high = statistics.mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.302653 / np.sqrt(3), 2 + 4.302653 / np.sqrt(3)), abs=1e-6)


def test_mean_interval_agrees_with_statsmodels():
    assert statistics.mean_interval(VALUES) == pytest.approx(DescrStatsW(VALUES).tconfint_mean(0.05))
    assert statistics.mean_interval(VALUES, 0.8) == pytest.approx(DescrStatsW(VALUES).tconfint_mean(0.2))


def test_prediction_interval_by_hand():
    low, high = statistics.prediction_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.302653 * np.sqrt(4 / 3), 2 + 4.302653 * np.sqrt(4 / 3)), abs=1e-6)


def test_coverage_of_t_intervals_is_nominal():
    draws = rng().normal(0.7, 0.03, (4000, 6))
    means = [statistics.mean_interval(row[:5]) for row in draws]
    further = [statistics.prediction_interval(row[:5]) for row in draws]
    # binomial standard error of 4000 trials at 0.95: 0.0034
    assert np.mean([low < 0.7 < high for low, high in means]) == pytest.approx(0.95, abs=0.014)
    assert np.mean([low < row[5] < high for (low, high), row in zip(further, draws, strict=True)]) == pytest.approx(
        0.95, abs=0.014
    )


@pytest.mark.parametrize("values", [[], [0.5]])
def test_fewer_than_two_values_give_no_interval(values):
    for interval in (
        statistics.mean_interval(values),
        statistics.prediction_interval(values),
        statistics.bca_interval(values, rng()),
    ):
        assert np.isnan(interval).all()


def test_bca_against_efron_and_tibshirani_formula():
    """The BCa end points computed from their definition, with every bootstrap sample of 4 values enumerated (4^4)."""
    values = np.array([0.01, 0.02, 0.05, 0.11])
    means = values[np.stack(np.meshgrid(*[range(4)] * 4)).reshape(4, -1)].mean(axis=0)
    below = (np.mean(means < values.mean() - 1e-12) + np.mean(means <= values.mean() + 1e-12)) / 2
    bias = stats.norm.ppf(below)
    jackknife = (values.sum() - values) / 3
    deviations = jackknife.mean() - jackknife
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    z = bias + stats.norm.ppf([0.025, 0.975])
    expected = np.quantile(means, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    # 9,999 random resamples of a coarse distribution: the end points may fall on the next distinct value
    assert statistics.bca_interval(values, rng(), expanded=False) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("shift", [0.0, 0.05, -0.3])
@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_where_nothing_varies_nothing_is_tested(shift, n):
    """No interval, test or verdict that needs a spread; what needs none, the sign-flip test, has one."""
    seeds = 0.1 * (1 + np.arange(n))
    differences = (seeds + shift) - seeds  # equal up to round-off
    assert np.isnan(
        [
            statistics.deviation(differences),
            *statistics.mean_interval(differences),
            *statistics.prediction_interval(differences),
            *statistics.bca_interval(differences, rng()),
            statistics.t_statistic(differences),
            statistics.t_test_p(differences),
            statistics.bayes_factor(differences),
            *(equivalence.equivalence_p(shift, sd, n, 0.5) for sd in (0.0, 1e-17, statistics.deviation(differences))),
        ]
    ).all()
    expected = 1.0 if shift == 0 or n == 1 else max(2 / 2**n, 2 / 2**16)
    assert statistics.sign_flip_p(differences, rng()) == pytest.approx(expected, rel=0.9)
    predictions = np.ones((n, 8), dtype=bool)
    worse = predictions & (np.arange(8) < 4)
    for baseline in (predictions, worse):
        compared = statistics.paired_comparison(predictions, baseline, rng())
        assert np.isnan([compared.sd, compared.p_t, compared.e, compared.low, compared.run_low, compared.bca_low]).all()
        assert statistics.verdict_on_order(0.1, statistics.Interval(compared.low, compared.high)) == statistics.UNKNOWN
    assert np.isnan(statistics.seeds_and_images_interval(np.zeros((n, 8)))).all()


def test_bca_is_repeatable():
    assert statistics.bca_interval(VALUES, rng()) == statistics.bca_interval(VALUES, rng())


@pytest.mark.parametrize(
    "differences, p",
    [
        ([1, 2, 3], 2 / 8),  # |sum| = 6: only +++ and ---
        ([3, 2, -1], 4 / 8),  # |sum| = 4: also reached by 3 + 2 + 1 and the mirror images
        ([0.1, 0.1, 0.1, 0.3], 2 / 16),
        ([0.3, -0.1, -0.1, -0.1], 1.0),  # sum 0 although round-off says otherwise
        ([0.0, 0.0, 0.0], 1.0),
        ([0.4], 1.0),
    ],
)
def test_sign_flip_by_hand(differences, p):
    assert statistics.sign_flip_p(differences, rng()) == pytest.approx(p, abs=1e-12)


def test_sign_flip_enumerates_all_patterns():
    differences = rng().normal(0.4, 1, 10)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 10)).reshape(10, -1)
    sums = np.abs(signs.T @ differences)
    p = statistics.sign_flip_p(differences, np.random.default_rng(1))
    assert p == pytest.approx(np.mean(sums >= abs(differences.sum()) - 1e-12), abs=1e-12)
    assert p == statistics.sign_flip_p(differences, np.random.default_rng(2))


def test_sign_flip_counts_ties_exactly():
    """Differences of accuracies with few distinct values, against an enumeration in integers."""
    counts = rng()
    for images in (7, 1000, 9803):
        for n in range(2, 7):
            for _ in range(3):
                baseline, gain = counts.integers(4, max(images - 4, 5), n), counts.integers(-3, 5, n)
                differences = (baseline + gain) / images - baseline / images
                sums = np.array(list(itertools.product([-1, 1], repeat=n))) @ gain
                expected = np.mean(np.abs(sums) >= abs(gain.sum()))
                assert statistics.sign_flip_p(differences, rng()) == pytest.approx(expected, abs=1e-12)


def test_probability_of_superiority_counts_ties_half():
    # the third pair is a tie: 0.1 + 0.2 and 0.3 differ in the last bit only
    assert statistics.probability_of_superiority([0.5, 0.2, 0.1 + 0.2, 0.9], [0.4, 0.3, 0.3, 0.1]) == 2.5 / 4
    assert np.isnan(statistics.probability_of_superiority([], []))


def predictions(*counts):
    """Correct predictions (n, 100) of runs with these numbers of right ones."""
    return np.arange(100) < np.array(counts).reshape(-1, 1)


def test_paired_comparison_reports_method_minus_baseline():
    method, baseline = predictions(62, 66, 61, 70), predictions(60, 61, 60, 71)
    result = statistics.paired_comparison(method, baseline, rng())
    assert result.n == 4
    assert result.mean == pytest.approx(0.0175)
    # differences 2, 5, 1, -1: s^2 = (0.25^2 + 3.25^2 + 0.75^2 + 2.75^2) / 3, t(0.975, 3) = 3.182446
    half_width = 3.182446 * np.sqrt(18.75 / 3) / 100
    assert (result.low, result.high) == pytest.approx((0.0175 - half_width / 2, 0.0175 + half_width / 2), abs=1e-6)
    assert (result.run_low, result.run_high) == pytest.approx(
        (0.0175 - half_width * np.sqrt(1.25), 0.0175 + half_width * np.sqrt(1.25)), abs=1e-6
    )
    assert result.bca_low < 0.0175 < result.bca_high
    # differences 2, 5, 1, -1 (sum 7): |sum| >= 7 for +++-, ++++, ++-+ (7) and the mirror images
    assert result.p == pytest.approx(6 / 16)
    assert result.superiority == 0.75
    reverse = statistics.paired_comparison(baseline, method, rng())
    assert (reverse.mean, reverse.p, reverse.superiority) == pytest.approx((-0.0175, 6 / 16, 0.25))


def test_paired_comparison_without_common_seeds():
    result = statistics.paired_comparison(np.empty((0, 1), bool), np.empty((0, 1), bool), rng())
    assert result.n == 0 and np.isnan(result[1:]).all()


def test_paired_comparison_refuses_unequal_shapes():
    with pytest.raises(ValueError, match="paired by seed"):
        statistics.paired_comparison(predictions(1, 2), predictions(1), rng())


def test_expanded_bca_of_normal_values_is_about_as_wide_as_t():
    values = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    (low, high), (t_low, t_high) = statistics.bca_interval(values, rng()), statistics.mean_interval(values)
    plain = statistics.bca_interval(values, rng(), expanded=False)
    assert high - low == pytest.approx(t_high - t_low, rel=0.06)
    assert plain.high - plain.low == pytest.approx((t_high - t_low) * 1.95996 / 2.09302 * np.sqrt(19 / 20), rel=0.04)


def test_bca_never_leaves_the_range_of_three_values():
    low, high = statistics.bca_interval(np.array([0.01, 0.02, 0.04]), rng())
    assert (low, high) == pytest.approx((0.01, 0.04))


def test_seeds_and_images_interval_against_a_table_of_variance():
    """Mean squares from statsmodels' analysis of variance of the two-way layout."""
    scores = rng().normal(0, 1, (4, 1)) + rng().normal(0, 2, (1, 30)) + rng().normal(0, 1, (4, 30))
    long = pd.DataFrame([(s, i, scores[s, i]) for s in range(4) for i in range(30)], columns=["s", "i", "y"])
    table = anova_lm(ols("y ~ C(s) + C(i)", long).fit())
    seeds, images, rest = table["mean_sq"]
    combined = seeds + images - rest
    freedom = combined**2 / (table["mean_sq"] ** 2 / table["df"]).sum()
    half_width = stats.t.ppf(0.975, freedom) * np.sqrt(combined / 120)
    expected = scores.mean() - half_width, scores.mean() + half_width
    assert statistics.seeds_and_images_interval(scores) == pytest.approx(expected)


def test_seeds_and_images_interval_of_few():
    assert np.isnan(statistics.seeds_and_images_interval(np.ones((1, 9)))).all()
    assert np.isnan(statistics.seeds_and_images_interval(np.ones((9, 1)))).all()
    assert np.isnan(statistics.seeds_and_images_interval(np.ones((3, 9)))).all()


def test_coverage_over_seeds_and_images():
    """Both vary: 1.4 points between seeds, 1.1 from 1,000 test images, of a difference whose truth is known."""
    draws, held = rng(), 0
    for _ in range(1000):
        seeds, images = draws.normal(0, 0.03, (5, 1)), draws.normal(0, 0.35, (1, 1000))
        low, high = statistics.seeds_and_images_interval(0.02 + seeds + images + draws.normal(0, 0.3, (5, 1000)))
        held += low < 0.02 < high
    assert 0.925 < held / 1000 < 0.975  # binomial standard error 0.007


@pytest.mark.parametrize(
    "figure, run, spread, verdict",
    [
        (0.50, (0.48, 0.52), 0.05, "agrees"),
        (0.52, (0.48, 0.52), 0.05, "agrees"),  # the end belongs to the interval
        (0.50, (0.40, 0.60), 0.05, "too uncertain"),
        (0.53, (0.48, 0.52), 0.05, "differs"),
        (0.30, (0.40, 0.60), 0.05, "differs"),
        (np.nan, (0.40, 0.60), np.nan, "unknown"),
        (0.50, (np.nan, np.nan), 0.05, "unknown"),
    ],
)
def test_verdict_on_a_size(figure, run, spread, verdict):
    assert statistics.verdict_on_size(figure, statistics.Interval(*run), spread) == verdict


@pytest.mark.parametrize(
    "figure, mean, verdict",
    [
        (0.02, (0.001, 0.03), "reproduced"),
        (-0.02, (-0.03, -0.001), "reproduced"),
        (0.02, (-0.03, -0.001), "contradicted"),
        (0.02, (-0.01, 0.03), "consistent but unresolved"),
        (0.02, (0.0, 0.03), "consistent but unresolved"),
        (np.nan, (0.01, 0.03), "unknown"),
        (0.02, (np.nan, np.nan), "unknown"),
    ],
)
def test_verdict_on_an_order(figure, mean, verdict):
    assert statistics.verdict_on_order(figure, statistics.Interval(*mean)) == verdict


@pytest.mark.parametrize(
    "verdicts, verdict",
    [
        (["reproduced"] * 3, "reproduced"),
        (["reproduced", "consistent but unresolved", "reproduced"], "consistent but unresolved"),
        (["reproduced", "contradicted", "reproduced"], "contradicted"),
        (["reproduced", "unknown"], "consistent but unresolved"),
        (["unknown", "unknown"], "unknown"),
    ],
)
def test_verdict_on_a_claim(verdicts, verdict):
    assert statistics.verdict_on_claim(verdicts) == verdict


def test_verdicts_where_the_truth_is_known():
    """A paper whose figure is one more run is found to differ in 5 % of cases; one 8 standard deviations off, nearly
    always; of two equal methods an order is found in 5 %."""
    draws = rng().normal(0.6, 0.01, (2000, 11))
    runs = [statistics.prediction_interval(values[:10]) for values in draws]
    judged = [statistics.verdict_on_size(v[10], run, 0.06) for v, run in zip(draws, runs, strict=True)]
    assert np.mean([verdict == "differs" for verdict in judged]) == pytest.approx(0.05, abs=0.015)
    off = [statistics.verdict_on_size(v[10] + 0.08, run, 0.06) for v, run in zip(draws, runs, strict=True)]
    assert np.mean([verdict == "differs" for verdict in off]) > 0.99
    orders = [statistics.verdict_on_order(0.02, statistics.mean_interval(values[:10] - 0.6)) for values in draws]
    assert np.mean([verdict == "consistent but unresolved" for verdict in orders]) == pytest.approx(0.95, abs=0.015)


def test_holm_by_hand():
    # 0.01 * 4, max(0.04, 0.02 * 3), max(0.06, 0.04 * 2); the one that is not there yet counts as 1
    adjusted = statistics.holm([0.02, np.nan, 0.01, 0.04])
    assert adjusted == pytest.approx([0.06, np.nan, 0.04, 0.08], nan_ok=True)
    assert np.isnan(statistics.holm([np.nan, np.nan])).all()
    assert len(statistics.holm([])) == 0


def test_holm_is_that_of_statsmodels():
    for m in (1, 2, 15, 39):
        p = rng().uniform(0, 0.1, m).round(2)  # with ties
        assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


SLEEP = np.array(
    [[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]]
)


def of_t(t: float, n: int) -> np.ndarray:
    """Values (n,) with this t statistic."""
    values = np.arange(n) - (n - 1) / 2
    return values / values.std(ddof=1) + t / np.sqrt(n)


def test_the_t_test_is_scipys():
    differences = SLEEP[1] - SLEEP[0]
    assert statistics.t_test_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_bayes_factors_are_those_of_the_literature(monkeypatch):
    """Student's sleep data in R's package BayesFactor, and critical t values and an example of Rouder et al. (2009)."""
    assert statistics.bayes_factor(SLEEP[1] - SLEEP[0]) == pytest.approx(17.25888, abs=1e-5)
    assert statistics.bayes_factor(SLEEP[1]) == pytest.approx(10.71554, abs=1e-5)
    monkeypatch.setattr(statistics, "CAUCHY_SCALE", 1.0)
    assert 1 / statistics.bayes_factor(of_t(2.03, 80)) == pytest.approx(1.56, abs=0.005)
    assert 1 / statistics.bayes_factor(of_t(0.69, 100)) == pytest.approx(10, abs=0.1)
    assert statistics.bayes_factor(of_t(3.20, 100)) == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize(("t", "n"), [(0.1, 2), (3.0, 2), (-1.0, 3), (0.0, 10), (-4.0, 10), (25.0, 11), (2.0, 50)])
def test_bayes_factors_are_those_of_another_parametrisation(t, n):
    """The noncentral t density, averaged over the Cauchy prior of the effect, over the central one."""
    expected, _ = integrate.quad(
        lambda effect: stats.nct.pdf(t, n - 1, effect * np.sqrt(n)) * stats.cauchy.pdf(effect, scale=np.sqrt(0.5)),
        *(-np.inf, np.inf),
        limit=500,
    )
    expected /= stats.t.pdf(t, n - 1)
    assert statistics.bayes_factor(of_t(t, n)) == pytest.approx(expected, rel=1e-6)
    assert statistics.bayes_factor(-0.01 * of_t(t, n)) == pytest.approx(expected, rel=1e-6)


def test_a_bayes_factor_has_mean_one_where_there_is_no_difference():
    """What makes it an e-value; two differences bound it, so that a mean of 2,000 is exact enough."""
    factors = [statistics.bayes_factor(values) for values in rng().normal(0, 3, (2000, 2))]
    assert np.mean(factors) == pytest.approx(1, abs=4 * np.std(factors) / 2000**0.5)
