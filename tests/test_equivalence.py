"""Practically zero, and the power of a design: against statsmodels, by hand, and by simulation."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from lautum.report import tables
from lautum.results import equivalence, power
from lautum.results.equivalence import HALF
from lautum.results.statistics import sign_flip_p


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_equivalence_is_that_of_two_one_sided_tests(rng):
    for mean in (0.0, 0.01, 0.03):
        values = rng.normal(mean, 0.01, 8)
        expected, _, _ = DescrStatsW(values).ttost_mean(-0.02, 0.02)
        found = equivalence.equivalence_p(values.mean(), values.std(ddof=1), 8, 0.02)
        assert found == pytest.approx(expected, rel=1e-6)
    assert np.isnan(equivalence.equivalence_p(0.0, np.nan, 1, 0.02))
    assert np.isnan(equivalence.equivalence_p(0.0, 0.01, 5, np.nan))


@pytest.mark.parametrize(
    "adjusted, figure, word",
    [
        ((0.2, 0.01, 0.01), 0.14, "2 points"),
        ((0.01, 0.001, 0.001), 0.14, "1 point"),
        ((0.2, 0.06, 0.01), 0.14, HALF),
        ((0.2, 0.01, 0.01), 0.03, HALF),  # 1.5 points
        ((0.2, 0.01, 0.3), -0.03, "2 points"),
        ((0.2, 0.05, 0.05), 0.14, "not shown"),
        ((0.2, 0.01, np.nan), np.nan, "2 points"),
        ((np.nan, np.nan, np.nan), 0.14, "unknown"),
    ],
)
def test_the_smallest_margin_is_named(adjusted, figure, word):
    names = ("1 point", "2 points", HALF)
    assert equivalence.smallest(dict(zip(names, adjusted, strict=True)), figure) == word
    assert equivalence.shown(word) == (word in names)


def test_the_power_of_the_t_test_is_that_of_statsmodels():
    effects = np.array([0.0, 0.3, 1.0, 2.5])
    for n, level in ((3, 0.05), (10, 0.05 / 15), (50, 0.05)):
        expected = [TTestPower().power(effect, n, level) for effect in effects]
        assert power.t_test(effects, n, level) == pytest.approx(expected, abs=1e-9)


def rejections(effect: float, n: int, level: float, rng: np.random.Generator, trials: int) -> float:
    return np.mean([sign_flip_p(rng.normal(effect, 1, n), rng) <= level for _ in range(trials)])


@pytest.mark.parametrize(("n", "level"), [(6, 0.04), (6, 0.1)])
def test_the_power_of_the_sign_flip_test_is_that_of_the_test(n, level, rng):
    """Where unanimity decides (a formula) and where more may (simulated)."""
    for effect, found in zip((0.0, 1.0), power.sign_flip(np.array([0.0, 1.0]), n, level), strict=True):
        assert found == pytest.approx(rejections(effect, n, level, rng, 400), abs=0.09)


def test_a_sign_flip_test_that_cannot_reject_has_no_power():
    assert power.sign_flip(np.array([0.0, 5.0]), 5, 0.05).tolist() == [0, 0]
    assert np.isnan(power.detectable(power.sign_flip, 5, 0.05))
    assert power.sign_flip(np.array([0.0]), 2000, 1e-4) <= 0.02  # more patterns than a float counts
    # Beyond 13 seeds sign patterns are sampled; there it has nearly the power of t (Hoeffding 1952).
    effects = np.array([0.3, 0.5])
    assert power.sign_flip(effects, 30, 0.05) == pytest.approx(power.t_test(effects, 30, 0.05), abs=0.08)


def test_what_is_detectable_is_found_in_80_percent():
    for n, level in itertools.product((5, 10), (0.05, 0.01)):
        effect = power.detectable(power.t_test, n, level)
        assert power.t_test(np.array([effect]), n, level).item() == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(("n", "sd", "margin", "level"), [(10, 0.014, 0.02, 0.05 / 15), (3, 0.005, 0.02, 0.05)])
def test_the_power_of_equivalence_is_that_of_the_test(n, sd, margin, level, rng):
    differences = np.array([0.0, 0.01, margin])
    found = power.equivalence(differences, sd, n, margin, level)
    values = rng.normal(0, sd, (20_000, n))
    error, critical = values.std(axis=1, ddof=1) / np.sqrt(n), stats.t.isf(level, n - 1)
    for difference, share in zip(differences, found, strict=True):
        assert share == pytest.approx(
            np.mean(abs(values.mean(axis=1) + difference) < margin - critical * error), abs=0.012
        )
    assert found[-1] <= level + 1e-9  # an error there


def test_the_table_of_power_is_that_of_the_measured_spread():
    differences = pd.DataFrame({"task": "t", "labels": [50, 50, 100], "n": [10, 10, 1], "sd": [0.03, 0.04, np.nan]})
    table = tables.power_table(differences)
    assert set(table["labels"]) == {50} and set(table["comparisons"]) == {3}
    assert table["sd"].iloc[0] == pytest.approx(np.sqrt((0.03**2 + 0.04**2) / 2))
    row = table[table["difference"] == 0.05].iloc[0]
    assert row["t"] == pytest.approx(TTestPower().power(0.05 / row["sd"], 10, 0.05 / 3))
    assert np.interp(row["found_t"], table["difference"], table["t"]) == pytest.approx(0.8, abs=0.03)
    # Comparisons in which nothing varies say nothing of the spread of the others.
    assert tables.power_table(differences.iloc[2:]).empty
    assert tables.power_table(differences.assign(sd=[0.03, np.nan, np.nan]))["sd"].unique() == pytest.approx([0.03])


@pytest.mark.parametrize("n", [2, 3, 20])
def test_power_is_a_probability_at_any_size(n):
    differences = pd.DataFrame({"task": "t", "labels": [50] * 3, "n": n, "sd": 0.0004})
    for sd in (0.0004, 0.3):
        table = tables.power_table(differences.assign(sd=sd))[["t", "sign_flip", "within_1", "within_2"]]
        assert ((table >= -1e-9) & (table <= 1 + 1e-9)).all(axis=None)
