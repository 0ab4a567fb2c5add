import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from lautum import statistics


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
    assert statistics.bca_interval(values, rng()) == pytest.approx(expected, abs=0.006)


def test_bca_of_equal_values_has_no_width_and_no_warning():
    differences = np.array([0.1, 0.2, 0.3]) - np.array([0.05, 0.15, 0.25])  # equal up to round-off
    low, high = statistics.bca_interval(differences, rng())
    assert low == high == pytest.approx(0.05)
    assert statistics.sign_flip_p(differences, rng()) == 2 / 8


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


def test_paired_comparison_reports_method_minus_baseline():
    method, baseline = np.array([0.62, 0.66, 0.61, 0.70]), np.array([0.60, 0.61, 0.60, 0.71])
    result = statistics.paired_comparison(method, baseline, rng())
    assert result.n == 4
    assert result.mean == pytest.approx(0.0175)
    assert result.low < 0.0175 < result.high
    # differences 2, 5, 1, -1 (sum 7): |sum| >= 7 for +++-, ++++, ++-+ (7) and the mirror images
    assert result.p == pytest.approx(6 / 16)
    assert result.superiority == 0.75
    reverse = statistics.paired_comparison(baseline, method, rng())
    assert (reverse.mean, reverse.p, reverse.superiority) == pytest.approx((-0.0175, 6 / 16, 0.25))


def test_paired_comparison_without_common_seeds():
    result = statistics.paired_comparison([], [], rng())
    assert result.n == 0 and np.isnan(result[1:]).all()


def test_paired_comparison_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="paired by seed"):
        statistics.paired_comparison([0.1, 0.2], [0.1], rng())


def test_holm_by_hand():
    # 0.01 * 3, max(0.03, 0.02 * 2), max(0.04, 0.04 * 1); NaN is not part of the family
    adjusted = statistics.holm([0.02, np.nan, 0.01, 0.04])
    assert adjusted == pytest.approx([0.04, np.nan, 0.03, 0.04], nan_ok=True)
    assert np.isnan(statistics.holm([np.nan, np.nan])).all()
    assert len(statistics.holm([])) == 0
