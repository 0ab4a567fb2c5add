"""`make coverage`: how often 95 % intervals hold the truth, and how often verdicts are right, by simulation.

Nominal model: the score of seed s on test image i is mu + a_s + b_i + e_si, all normal; accuracies are means over
images. Binary model: the same, logistic, and thresholded by a coin, as predictions are. Spreads are of the size found
on real tasks: 2 points between seeds, images that are mostly easy or mostly hard.

Universes: the design of config/universes-mnist.yaml, with differences of two arms that vary between pre-transfer
choices (1 point), seeds (2 points, common to the universes of a choice) and settings (1 point).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from lautum.files import write_text
from lautum.results import specifications, statistics
from lautum.results.equivalence import equivalence_p
from lautum.studies import verdict_rates

IMAGES = 1000
SEED_SD, IMAGE_SD, NOISE_SD = 0.02, 0.35, 0.3  # of a score; a difference of two methods varies as much
TRUTH = 0.05
CROSSED = 3  # universes of a pre-transfer choice


def main() -> None:
    """Simulate, print a table and write reports/coverage.csv."""
    parser = argparse.ArgumentParser(prog="python -m lautum.studies.coverage", description=str(__doc__).split("\n")[0])
    parser.add_argument("--trials", type=int, default=2000, help="simulated experiments each (default: %(default)s)")
    trials = parser.parse_args().trials
    rows = [row for n in (3, 5, 10) for row in (*over_seeds(n, trials), *over_images(n, trials), *verdicts(n, trials))]
    rows += over_universes(3, max(1, trials // 4))  # which take longest
    rows += [_row(what, model, n, trials, count) for what, model, n, count in verdict_rates.simulate(trials)]
    table = pd.DataFrame(rows, columns=["what", "model", "n", "trials", "rate", "standard_error"])
    write_text(Path("reports/coverage.csv"), table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    print(table.to_string(index=False, float_format="%.3f"))


def over_seeds(n: int, trials: int) -> list[tuple]:
    """Coverage of the intervals that look at accuracies alone."""
    rng = np.random.default_rng(n)
    held = {"t": 0, "BCa, expanded": 0, "BCa, as published": 0, "prediction of one run": 0}
    for _ in range(trials):
        values = rng.normal(TRUTH, SEED_SD, n + 1)
        seen, further = values[:n], values[n]
        held["t"] += _holds(statistics.mean_interval(seen), TRUTH)
        held["BCa, expanded"] += _holds(statistics.bca_interval(seen, rng), TRUTH)
        held["BCa, as published"] += _holds(statistics.bca_interval(seen, rng, expanded=False), TRUTH)
        held["prediction of one run"] += _holds(statistics.prediction_interval(seen), further)
    return [_row(f"coverage, {name}", "nominal", n, trials, count) for name, count in held.items()]


def over_images(n: int, trials: int) -> list[tuple]:
    """Coverage of the interval for other seeds and other test images, beside t and the pigeonhole bootstrap."""
    rows = []
    for model, draw, truth in (("nominal", nominal, TRUTH), ("binary", binary, binary_truth())):
        rng = np.random.default_rng(n)
        held = {"seeds and images": 0, "pigeonhole bootstrap": 0, "t, blind to images": 0}
        for _ in range(trials):
            scores = draw(n, rng)
            held["seeds and images"] += _holds(statistics.seeds_and_images_interval(scores), truth)
            held["pigeonhole bootstrap"] += _holds(pigeonhole(scores, rng), truth)
            held["t, blind to images"] += _holds(statistics.mean_interval(scores.mean(axis=1)), truth)
        rows += [_row(f"coverage, {name}", model, n, trials, count) for name, count in held.items()]
        print(f"simulated: {model}, n = {n}", file=sys.stderr, flush=True)
    return rows


def verdicts(n: int, trials: int) -> list[tuple]:
    """How often a true statement of the paper gets the verdict of a false one, and a false one does not."""
    rng = np.random.default_rng(n)
    spread = 6 * SEED_SD
    wrong = {"true size differs": 0, "size 6 sd off does not differ": 0, "true order contradicted": 0}
    wrong["order of equal methods resolved"] = 0
    for _ in range(trials):
        values, figure = rng.normal(TRUTH, SEED_SD, n), rng.normal(TRUTH, SEED_SD)
        run = statistics.prediction_interval(values)
        wrong["true size differs"] += statistics.verdict_on_size(figure, run, spread) == statistics.DIFFERS
        off = statistics.verdict_on_size(figure + 6 * SEED_SD, run, spread)
        wrong["size 6 sd off does not differ"] += off != statistics.DIFFERS
        order = statistics.verdict_on_order(TRUTH, statistics.mean_interval(values))
        wrong["true order contradicted"] += order == statistics.CONTRADICTED
        order = statistics.verdict_on_order(TRUTH, statistics.mean_interval(values - TRUTH))
        wrong["order of equal methods resolved"] += order != statistics.UNRESOLVED
    return [_row(f"verdict, {name}", "nominal", n, trials, count) for name, count in wrong.items()]


def over_universes(n: int, trials: int) -> list[tuple]:
    """How often what is said of a campaign over universes is wrong, and how often it sees what there is."""
    rng, margin = np.random.default_rng(n), 0.02
    counts: dict[str, float] = dict.fromkeys(
        ("ahead though equal, share of settings", "joint test rejects equal arms"), 0.0
    )
    counts |= dict.fromkeys(("average gain outside its interval", "2 points called within 2 points"), 0.0)
    counts |= dict.fromkeys(("power: joint test, +-2 points", "power: 0 called within 2 points"), 0.0)
    for _ in range(trials):
        equal = universes(n, rng)
        gains = specifications.gains(equal)
        counts["ahead though equal, share of settings"] += float(np.mean(gains["low"].to_numpy() > 0))
        counts["joint test rejects equal arms"] += specifications.joint_p(equal, CROSSED, rng) < 0.05
        for truth, name in ((margin, "2 points called within 2 points"), (0.0, "power: 0 called within 2 points")):
            varied = universes(n, rng, truth, choice_sd=0.01)
            row = specifications.average_gains(varied.assign(budget=0, labels=0), CROSSED).iloc[0]
            counts[name] += equivalence_p(row.gain, row.sd, row.n, margin) < 0.05
            counts["average gain outside its interval"] += (not row.low <= truth <= row.high) / 2
        apart = equal.assign(difference=equal["difference"] + margin * (-1.0) ** (equal["universe"] // CROSSED))
        counts["power: joint test, +-2 points"] += specifications.joint_p(apart, CROSSED, rng) < 0.05
    print(f"simulated: universes, n = {n}", file=sys.stderr, flush=True)
    return [_row(f"universes, {name}", "universes", n, trials, count) for name, count in counts.items()]


def universes(n: int, rng: np.random.Generator, truth: float = 0.0, choice_sd: float = 0.0) -> pd.DataFrame:
    """Differences of two arms in 16 pre-transfer choices x CROSSED post-transfer choices, two budgets, `n` seeds."""
    choices, budgets = 16, (100, 1000)
    shape = (choices, CROSSED, len(budgets), n)
    values = truth + rng.normal(0, choice_sd, (choices, 1, 1, 1)) + rng.normal(0, SEED_SD, (choices, 1, 1, n))
    values = values + rng.normal(0, 0.01, shape)
    index = pd.MultiIndex.from_product([range(choices * CROSSED), budgets, [100], range(n)])
    return pd.Series(
        values.ravel(), index.set_names(["universe", "budget", "labels", "seed"]), name="difference"
    ).reset_index()


def nominal(n: int, rng: np.random.Generator) -> np.ndarray:
    """Scores (n, IMAGES) of the nominal model."""
    seeds, images = rng.normal(0, SEED_SD, (n, 1)), rng.normal(0, IMAGE_SD, (1, IMAGES))
    return TRUTH + seeds + images + rng.normal(0, NOISE_SD, (n, IMAGES))


def binary(n: int, rng: np.random.Generator) -> np.ndarray:
    """Correct (1) or wrong (0) predictions (n, IMAGES)."""
    seeds, images = rng.normal(0, 0.15, (n, 1)), rng.normal(0, 2.5, (1, IMAGES))
    return (rng.random((n, IMAGES)) < 1 / (1 + np.exp(-(1 + seeds + images)))).astype(float)


def binary_truth() -> float:
    """The expected accuracy of the binary model, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    return float(weights @ (1 / (1 + np.exp(-(1 + np.hypot(0.15, 2.5) * nodes)))) / weights.sum())


def pigeonhole(scores: np.ndarray, rng: np.random.Generator, resamples: int = 200) -> statistics.Interval:
    """The percentile interval of means over resampled seeds and resampled images (Owen 2007)."""
    n, images = scores.shape
    seeds = rng.multinomial(n, np.full(n, 1 / n), resamples)
    # How often each image is drawn; multinomial counts would take longer.
    drawn = rng.integers(images, size=(resamples, images)) + images * np.arange(resamples)[:, None]
    chosen = np.bincount(drawn.ravel(), minlength=resamples * images).reshape(resamples, images)
    means = np.einsum("bs,bs->b", seeds @ scores, chosen) / (n * images)
    return statistics.Interval(*np.quantile(means, [0.025, 0.975]))


def _holds(interval: statistics.Interval, value: float) -> bool:
    return bool(interval.low <= value <= interval.high)


def _row(what: str, model: str, n: int, trials: int, count: float) -> tuple:
    rate = count / trials
    return what, model, n, trials, rate, np.sqrt(rate * (1 - rate) / trials)


if __name__ == "__main__":
    main()
