"""What a design could have found: the power of the tests of paired differences, and of the verdict "practically zero".

Of normal differences with a known standard deviation, at one level. The t test and the two one-sided tests have
formulas, the sign-flip test has one where only unanimous seeds can be significant, and is simulated elsewhere.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from lautum.lazy import stats

EXPERIMENTS = 500  # simulated, where there is no formula
PATTERNS = 4096  # of signs; beyond 13 seeds a sample of as many
SEED = 2019


def t_test(effects: np.ndarray, n: int, level: float) -> np.ndarray:
    """The probability that the two-sided t test of n differences rejects; `effects` (m,): mean / sd, rising."""
    critical = stats.t.isf(level / 2, n - 1)
    shift = np.asarray(effects, dtype=float) * np.sqrt(n)
    return stats.nct.sf(critical, n - 1, shift) + stats.nct.sf(critical, n - 1, -shift)


def sign_flip(effects: np.ndarray, n: int, level: float) -> np.ndarray:
    """The same of the sign-flip test, whose smallest p is 2 / 2^n; to 2 points (a standard error) if simulated."""
    effects = np.asarray(effects, dtype=float)
    # How many of the 2^(n - 1) pairs of sign patterns may be as extreme: none, one, or more.
    extreme = int(level * 2 ** min(n - 1, 100) + 1e-9)
    if extreme == 0:
        return np.zeros(len(effects))
    if extreme == 1:
        return stats.norm.cdf(effects) ** n + stats.norm.cdf(-effects) ** n
    rng = np.random.default_rng(SEED)
    noise = rng.standard_normal((n, EXPERIMENTS))
    if 2 ** (n - 1) <= PATTERNS:
        signs = np.array([(1, *rest) for rest in product([1, -1], repeat=n - 1)])
    else:
        signs = np.vstack([np.ones(n), rng.choice([-1, 1], (PATTERNS - 1, n))])
    sums, shifts = signs @ noise, signs.sum(axis=1)[:, None]
    powers: list[float] = []
    for effect in effects:
        if powers and powers[-1] == 1 and effect > 0:  # and more of it is not found less often
            powers.append(1.0)
            continue
        flipped = np.abs(sums + effect * shifts)  # the first pattern is what was observed
        powers.append(((flipped >= flipped[0] * (1 - 1e-12)).mean(axis=0) <= level + 1e-12).mean())
    return np.array(powers)


def detectable(test: Callable, n: int, level: float, share: float = 0.8) -> float:
    """The smallest mean / sd that one of the tests above finds in this share of experiments; NaN if it is beyond 20."""
    effects = np.concatenate([np.arange(0, 4, 0.02), np.arange(4, 20, 0.2)])
    powers = test(effects, n, level)
    return float(np.interp(share, powers, effects)) if powers[-1] >= share else np.nan


def equivalence(differences: np.ndarray, sd: float, n: int, margin: float, level: float) -> np.ndarray:
    """The probability that a mean of n differences is called practically zero within `margin`, for each true one (m,).

    Given the estimated deviation, the mean must lie within margin - t sd / sqrt(n): a normal probability, averaged over
    the distribution of the estimate by Gauss-Legendre quadrature.
    """
    error, critical = sd / np.sqrt(n), stats.t.isf(level, n - 1)
    largest = min(margin / (critical * error), stats.chi.isf(1e-12, n - 1) / np.sqrt(n - 1))  # estimate / sd
    nodes, weights = np.polynomial.legendre.leggauss(200)
    ratios = largest * (nodes + 1) / 2
    density = stats.chi.pdf(ratios * np.sqrt(n - 1), n - 1) * np.sqrt(n - 1) * weights * largest / 2
    half = margin / error - critical * ratios
    shift = np.asarray(differences, dtype=float)[:, None] / error
    return (stats.norm.cdf(half - shift) - stats.norm.cdf(-half - shift)) @ density
