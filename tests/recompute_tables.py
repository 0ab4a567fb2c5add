"""The paper's tables from committed records alone; the part of `recompute` that needs no universes."""

import csv
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).parent.parent
PAPER = {  # Tables 1 and 2: Standard, TE, Mk-MMD, Lautum, in percent
    ("mnist", 50): (34.02, 37.28, 46.72, 47.96),
    ("mnist", 100): (57.58, 61.45, 63.32, 65.21),
    ("mnist", 200): (67.78, 74.87, 80.35, 83.77),
    ("cifar10", 100): (39.90, 42.20, 45.30, 46.70),
    ("cifar10", 200): (52.80, 54.60, 59.30, 60.90),
    ("cifar10", 500): (64.50, 66.50, 68.00, 70.80),
}
METHODS = ("standard", "temporal_ensembling", "mk_mmd", "lautum")
COMPARED = [  # in every table of the paper's four methods
    ("lautum", "standard"),
    ("lautum", "temporal_ensembling"),
    ("lautum", "mk_mmd"),
    ("mk_mmd", "temporal_ensembling"),
    ("temporal_ensembling", "standard"),
]
TUNED = {  # the campaigns of the paper's two tables with every method tuned; what is compared is one family of its task
    ("notmnist-small", "mnist-notmnist-small"): [
        *COMPARED,
        ("temporal_ensembling", "temporal_ensembling_unweighted"),
        ("temporal_ensembling_unweighted", "standard"),
    ],
    ("published", "cifar10-cifar100"): COMPARED,
}
CONFIRMED = [  # in a confirmation of one universe
    ("lautum", "standard"),
    ("lautum", "lautum_source"),
    ("mk_mmd", "standard"),
    ("temporal_ensembling", "standard"),
    ("standard", "target_only"),
]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def paper_gain(source: str, labels: int, method: str, baseline: str) -> float:
    """In points; NaN where the paper has no figures."""
    figures = dict(zip(METHODS, PAPER.get((source, labels), (np.nan,) * 4), strict=True))
    return figures.get(method, np.nan) - figures.get(baseline, np.nan)


def holm(p: dict) -> dict:
    """Holm's step-down: the k-th smallest of m is multiplied by m - k + 1, and none falls below the one before."""
    adjusted, least = {}, 0.0
    for place, key in enumerate(sorted(p, key=lambda key: p[key])):
        least = max(least, min(1.0, p[key] * (len(p) - place)))
        adjusted[key] = least
    return adjusted


def sign_flip(values: np.ndarray) -> float:
    """The share of all 2^n sign patterns whose sum is as far from zero; of whole numbers, so that ties are ties."""
    total = int(np.abs(values).sum())
    shares = np.zeros(2 * total + 1)  # of every sum from -total to total
    shares[total] = 1
    for value in values:
        shares = (np.roll(shares, value) + np.roll(shares, -value)) / 2
    return float(shares[np.abs(np.arange(-total, total + 1)) >= abs(values.sum())].sum())


def outside(values: np.ndarray, margin: float) -> float:
    """p of two one-sided t tests that the mean lies outside +- margin."""
    above = stats.ttest_1samp(values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(values, margin, alternative="less").pvalue
    return float(max(above, below))


def table(campaign: str, compared=tuple(COMPARED)) -> dict[tuple, dict[str, float]]:
    """Of every (task, method, baseline, labels): what differences.csv has, in points."""
    correct: dict[tuple, dict[int, int]] = {}
    images, sources = {}, {}
    for row in rows(ROOT / f"reports/{campaign}/records.csv"):
        key = row["task"], row["method"], int(row["labels"])
        correct.setdefault(key, {})[int(row["seed"])] = int(row["correct"])
        images[row["task"]], sources[row["task"]] = int(row["n_images"]), row["source"]
    found: dict[tuple, dict[str, float]] = {}
    for task in images:
        family = {}
        for method, baseline in compared:
            for labels in sorted({key[2] for key in correct if key[0] == task}):
                ours, theirs = (correct.get((task, name, labels), {}) for name in (method, baseline))
                seeds = sorted(set(ours) & set(theirs))
                if not seeds:
                    continue
                counts = np.array([ours[seed] - theirs[seed] for seed in seeds])
                points = 100 * counts / images[task]
                low, high = stats.t.interval(0.95, len(points) - 1, points.mean(), stats.sem(points))
                paper = paper_gain(sources[task], labels, method, baseline)
                family[task, method, baseline, labels] = {
                    "n": len(points),
                    "mean": points.mean(),
                    "low": low,
                    "high": high,
                    "paper": paper,
                    "t": stats.ttest_1samp(points, 0).pvalue,
                    "sign_flip": sign_flip(counts),
                    "within 1 point": outside(points, 1),
                    "within 2 points": outside(points, 2),
                    "within half": outside(points, abs(paper) / 2) if np.isfinite(paper) else 1.0,
                }
        for name in ("t", "sign_flip", "within 1 point", "within 2 points", "within half"):
            for key, p in holm({key: row[name] for key, row in family.items()}).items():
                family[key][f"{name}, Holm"] = p if np.isfinite(family[key][name]) else np.nan
        found |= family
    return found


def tuned() -> dict[tuple, dict[str, float]]:
    """The paper's comparisons in both of its tables, as `table` has them."""
    found = {}
    for (campaign, task), compared in TUNED.items():
        found |= {key: row for key, row in table(campaign, compared).items() if key[0] == task}
    return {key: row for key, row in found.items() if key[1:3] in COMPARED}


def headline(found: dict[tuple, dict[str, float]]) -> dict[str, object]:
    """What README says of one or several tables."""
    gains = {key: row for key, row in found.items() if key[1:3] == ("lautum", "standard")}
    tasks = sorted({key[0] for key in gains}, reverse=True)
    apart = [key for key, row in gains.items() if not row["low"] <= 0 <= row["high"]]
    rest = [row for key, row in gains.items() if key not in apart]
    within_2 = [row for row in rest if min(row["within 1 point, Holm"], row["within 2 points, Holm"]) < 0.05]
    significant = {key: row for key, row in found.items() if row["sign_flip, Holm"] < 0.05}
    return {
        "average": {
            task: tuple(
                float(np.mean([row[name] for key, row in gains.items() if key[0] == task]))
                for name in ("mean", "paper")
            )
            for task in tasks
        },
        "told apart": apart,
        "practically equivalent": sum(
            min(row["within 1 point, Holm"], row["within 2 points, Holm"], row["within half, Holm"]) < 0.05
            for row in rest
        ),
        "of them within 2 points": len(within_2),
        "comparisons": len(found),
        "significant": len(significant),
        "significant by t": sum(row["t, Holm"] < 0.05 for row in found.values()),
        "ahead in them": sorted({key[1] if row["mean"] > 0 else key[2] for key, row in significant.items()}),
    }


def verdict(row: dict[str, float]) -> str:
    """Of Lautum - Standard in a confirmation, as docs/universes.md prescribes."""
    if row["sign_flip, Holm"] < 0.05:
        return "the lead is confirmed" if row["mean"] > 0 else "Lautum is behind"
    for margin in ("within 1 point", "within 2 points", "within half"):
        if row[f"{margin}, Holm"] < 0.05:
            return f"practically zero {margin}" + " of the paper's gain" * (margin == "within half")
    return "not decided"


def interval(values) -> tuple[float, float]:
    """95 % t interval of a mean."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or np.ptp(values) < 1e-12:
        return np.nan, np.nan
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half
