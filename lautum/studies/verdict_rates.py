"""Error rates of the verdicts on paired differences, by simulation; part of `make coverage`.

A family of 15 independent differences, as many as a task has comparisons, corrected by Holm as a table is. Normal
differences with a standard deviation of 1 point over seeds, or with the heavy tails of Student's t with 3 degrees of
freedom and the same deviation.
"""

import sys

import numpy as np

from lautum.results import equivalence, statistics
from lautum.results.equivalence import MARGINS

FAMILY = 15
SD = 0.01
LEVEL = equivalence.LEVEL
EVIDENCE = 20  # 1 / LEVEL
WIDTH = 0.02  # of the interval that ends the adding of seeds in config/fifty-labels.yaml
WIDE_SD = 0.035  # of the differences there

Rates = dict[str, float]


def draw(model: str, rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Differences of equal methods, "nominal" (normal) or "heavy tails"."""
    return SD * (rng.normal(size=shape) if model == "nominal" else rng.standard_t(3, size=shape) / np.sqrt(3))


def adjusted(values: np.ndarray, margin: float) -> np.ndarray:
    """p of equivalence within `margin` after Holm, of differences (FAMILY, n)."""
    n = values.shape[1]
    return statistics.holm(
        np.array([equivalence.equivalence_p(some.mean(), some.std(ddof=1), n, margin) for some in values])
    )


def families(model: str, n: int, trials: int) -> Rates:
    """How often anything in a family is said wrongly, and how much of it is found."""
    rng = np.random.default_rng(n)
    rates: Rates = dict.fromkeys((f"{name} called practically zero within it" for name in MARGINS), 0.0)
    rates |= dict.fromkeys((f"any of 15 at {name} called practically zero within it" for name in MARGINS), 0.0)
    rates |= dict.fromkeys(
        ("any of 5 at 0, 1 and 2 points called so within too little", "any of 15 equal found by t"), 0.0
    )
    rates |= dict.fromkeys((f"power: equal called practically zero within {name}" for name in MARGINS), 0.0)
    rates |= {"power: 2 points found by t": 0.0}
    mixed = np.repeat([0, *MARGINS.values()], FAMILY // 3)
    for _ in range(trials):
        values = draw(model, rng, FAMILY, n)
        wrong = False
        for name, margin in MARGINS.items():
            p = adjusted(values + margin, margin)
            first = (values[0] + margin).mean(), values[0].std(ddof=1), n, margin
            rates[f"{name} called practically zero within it"] += equivalence.equivalence_p(*first) < LEVEL
            rates[f"any of 15 at {name} called practically zero within it"] += p.min() < LEVEL
            rates[f"power: equal called practically zero within {name}"] += float(
                (adjusted(values, margin) < LEVEL).mean()
            )
            wrong |= bool((adjusted(values + mixed[:, None], margin)[mixed >= margin] < LEVEL).any())
        rates["any of 5 at 0, 1 and 2 points called so within too little"] += wrong
        equal, apart = (
            statistics.holm(np.array([statistics.t_test_p(some + more) for some in values])) for more in (0, 0.02)
        )
        rates["any of 15 equal found by t"] += equal.min() < LEVEL
        rates["power: 2 points found by t"] += float((apart < LEVEL).mean())
    return rates


def looks(model: str, n: int, trials: int) -> Rates:
    """How often equal methods are told apart at some look, when there is one after every seed from the second to n."""
    rng = np.random.default_rng(n)
    rates: Rates = {"e of 20 at any look, equal methods": 0.0, "p of t below 0.05 at any look, equal methods": 0.0}
    for _ in range(trials):
        values = draw(model, rng, n)
        seen = [values[:count] for count in range(2, n + 1)]
        rates["e of 20 at any look, equal methods"] += any(statistics.bayes_factor(some) >= EVIDENCE for some in seen)
        rates["p of t below 0.05 at any look, equal methods"] += any(statistics.t_test_p(some) < LEVEL for some in seen)
    return rates


def until_narrow(trials: int) -> Rates:
    """Seeds are added in tens until the interval is `WIDTH` wide, as in config/fifty-labels.yaml."""
    rng, margin = np.random.default_rng(0), MARGINS["1 point"]
    rates: Rates = {"t interval without the truth, seeds added until it is narrow": 0.0}
    rates |= {"1 point called practically zero within it, likewise": 0.0}
    for _ in range(trials):
        values, narrow = np.empty(0), False
        while not narrow:
            values = np.append(values, rng.normal(margin, WIDE_SD, 10))
            low, high = statistics.mean_interval(values)
            narrow = high - low <= WIDTH
        rates["t interval without the truth, seeds added until it is narrow"] += not low <= margin <= high
        p = equivalence.equivalence_p(values.mean(), values.std(ddof=1), len(values), margin)
        rates["1 point called practically zero within it, likewise"] += p < LEVEL
    return rates


def simulate(trials: int) -> list[tuple[str, str, int, float]]:
    """All of it: what, model, n and the count of experiments (or the sum of shares)."""
    rows = []
    for model in ("nominal", "heavy tails"):
        for n in (5, 10, 20):
            rates = families(model, n, trials) | looks(model, n, trials)
            rows += [(f"verdict, {name}", model, n, rate) for name, rate in rates.items()]
            print(f"simulated: verdicts, {model}, n = {n}", file=sys.stderr, flush=True)
    return rows + [(f"verdict, {name}", "nominal", 10, rate) for name, rate in until_narrow(trials).items()]
