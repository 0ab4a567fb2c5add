"""Is a difference practically zero? Two one-sided t tests over paired seeds, against margins that stand here alone.

The margins of 1 and 2 points hold for every campaign. They were set when the results of the campaigns in `SEEN` were
known, and before those of any other: campaigns over universes were designed with them (docs/universes.md).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import special

from lautum.results.statistics import ROUND_OFF, UNKNOWN

MARGINS = {"1 point": 0.01, "2 points": 0.02}  # of accuracy
HALF = "half of the paper's gain"  # the difference of its two figures; where it has them
SEEN = ("first", "first-cifar10-cifar100", "published", "fifty-labels", "controls", "examples")
COLUMNS = {"1 point": "within_1", "2 points": "within_2", HALF: "within_half"}  # in tables: of p values and counts
NOT_SHOWN = "not shown"
LEVEL = 0.05


def margins(figure: float) -> dict[str, float]:
    """All margins for a difference that is `figure` in the paper; that of `HALF` is NaN where `figure` is."""
    return MARGINS | {HALF: abs(figure) / 2}


def equivalence_p(mean: float, sd: float, n: int, margin: float) -> float:
    """p of two one-sided t tests (Schuirmann 1987) that a mean lies outside +- `margin`.

    NaN without a margin and where nothing varies: `sd` is a `statistics.deviation`. Below 0.05 the mean is
    practically zero within the margin: its 90 % interval lies inside.
    """
    if n < 2 or not sd > ROUND_OFF:
        return np.nan
    error = sd / np.sqrt(n)
    return float(special.stdtr(n - 1, (abs(mean) - margin) / error))  # of the nearer margin


def smallest(adjusted: Mapping[str, float], figure: float) -> str:
    """The smallest margin within which a difference is practically zero at 5 %, `NOT_SHOWN`, or `UNKNOWN`.

    Args:
        adjusted: p values by margin, NaN where there is none.
        figure: the paper's difference, as in `margins`.
    """
    if all(np.isnan(p) for p in adjusted.values()):
        return UNKNOWN
    sizes = margins(figure)
    shown = [name for name, p in adjusted.items() if p < LEVEL]
    return min(shown, key=lambda name: sizes[name], default=NOT_SHOWN)


def shown(word: object) -> bool:
    """Whether a `smallest` margin is one: the difference is practically zero within it."""
    return word in COLUMNS


def counts(words: pd.Series) -> dict[str, int]:
    """How many of the `smallest` margins are each of them, by the names of `COLUMNS`."""
    return {column: int((words == name).sum()) for name, column in COLUMNS.items()}
