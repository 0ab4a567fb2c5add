"""Theorem 1 of the paper on a finite world, where every expectation is a sum.

    E_w E_xy[-log f(y|x,w)] = E_w KL(p(x,y) || f(x,y|w)) + H(y|x) - L(w;x)                                      (1)

Test data (x, y) ~ p(x, y) are independent of the learned weights w ~ p(w), while p(x|w), which enters through
f(x, y|w) = f(y|x, w) p(x|w) and L(w;x) = E_w KL(p(x) || p(x|w)), is the conditional of their joint law under training.

    >>> world = np.random.default_rng(0)
    >>> p_xy = world.dirichlet(np.ones(12)).reshape(4, 3)              # 4 inputs, 3 classes
    >>> p_w, p_x_given_w = world.dirichlet(np.ones(5)), world.dirichlet(np.ones(4), 5)   # 5 possible weights
    >>> f = world.dirichlet(np.ones(3), (5, 4))
    >>> t = terms(p_xy, p_w, p_x_given_w, f)
    >>> bool(np.isclose(t.cross_entropy, t.mismatch + t.bayes - t.lautum))
    True

    >>> p_xy, worlds = gibbs_worlds([0.0, 50.0])                       # before and after training
    >>> [abs(round(float(terms(p_xy, *world).lautum), 3)) for world in worlds]
    [0.0, 0.054]

L occurs in (1) twice: the mismatch contains it too, as E_w KL(p(x,y) || f(x,y|w)) = E_w E_x KL(p(y|x) || f(y|x,w)) +
L(w;x). So a larger L lowers the cross-entropy only where it does not raise the mismatch by as much; the theorem by
itself does not say that maximising L helps.

`python -m lautum.studies.theorem` draws the terms as training proceeds (reports/theorem/).
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lautum.files import write_text
from lautum.report import page, style
from lautum.report.page import Section
from lautum.report.style import STYLES, WIDTH

FOLDER = Path("reports/theorem")


class Terms(NamedTuple):
    """The four quantities of Theorem 1, in nats."""

    cross_entropy: float  # expected cross-entropy on the test distribution
    mismatch: float  # E_w KL(p(x,y) || f(x,y|w)), the classifier mismatch
    bayes: float  # H(y|x), the intrinsic Bayes error
    lautum: float  # L(w;x)


def terms(p_xy: np.ndarray, p_w: np.ndarray, p_x_given_w: np.ndarray, f: np.ndarray) -> Terms:
    """Each term of (1) by its own definition.

    Args:
        p_xy: joint probabilities of inputs and classes, (X, Y), positive.
        p_w: probabilities of the weights, (W,).
        p_x_given_w: (W, X), positive; rows sum to 1, and p_w @ p_x_given_w need not be the test marginal.
        f: the learned classifier f(y|x, w), (W, X, Y), positive.

    Raises ValueError when the shapes do not fit or a distribution does not sum to 1.
    """
    if f.shape != (len(p_w), *p_xy.shape) or p_x_given_w.shape != f.shape[:2]:
        raise ValueError(f"shapes {p_xy.shape}, {p_w.shape}, {p_x_given_w.shape}, {f.shape} are not (X, Y), (W,), ...")
    for name, sums in (("p_xy", p_xy.sum()), ("p_w", p_w.sum()), ("p_x_given_w", p_x_given_w.sum(1)), ("f", f.sum(2))):
        if not np.allclose(sums, 1):
            raise ValueError(f"{name} does not sum to 1")
    p_x = p_xy.sum(axis=1)
    joint = f * p_x_given_w[:, :, None]  # f(x, y|w)
    return Terms(
        cross_entropy=-np.einsum("w,xy,wxy->", p_w, p_xy, np.log(f)),
        mismatch=np.einsum("w,xy,wxy->", p_w, p_xy, np.log(p_xy) - np.log(joint)),
        bayes=-np.einsum("xy,xy->", p_xy, np.log(p_xy / p_x[:, None])),
        lautum=np.einsum("w,x,wx->", p_w, p_x, np.log(p_x) - np.log(p_x_given_w)),
    )


def monte_carlo_terms(rho: float, spread: float, noise: float, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Samples of the four terms in a Gaussian world, (samples, 4) in the order of `Terms`; their means are the terms.

    Test inputs x ~ N(0, 1) have labels y ~ N(x, noise^2). The learned weight w ~ N(1, spread^2) predicts y ~ N(w x,
    noise^2), and had the correlation `rho` with the inputs it was trained on: x|w ~ N(rho (w - 1) / spread, 1 - rho^2).
    """
    x, z = rng.standard_normal((2, samples))
    y, w = x + noise * rng.standard_normal(samples), 1 + spread * z
    classifier, truth = _log_normal(y, w * x, noise), _log_normal(y, x, noise)  # log f(y|x, w), log p(y|x)
    inputs, given = _log_normal(x, 0, 1), _log_normal(x, rho * z, np.sqrt(1 - rho**2))  # log p(x), log p(x|w)
    return np.stack([-classifier, truth + inputs - classifier - given, -truth, inputs - given], axis=1)


def gibbs_worlds(times: Sequence[float], count: int = 3) -> tuple[np.ndarray, list[tuple]]:
    """A small world in which training can be followed exactly: p_xy and, for each time, (p_w, p_x_given_w, f).

    Four inputs, two classes; a weight is a table that says one class for each input, right with probability 0.9, so
    there are 16. From every possible training set of `count` pairs the learner draws a weight with probability
    proportional to exp(-time * mean training cross-entropy): at time 0 at random, later ever closer to the best.
    """
    p_xy = np.array([[0.3, 0.05], [0.05, 0.2], [0.2, 0.05], [0.05, 0.1]])
    tables = np.array(list(product([0, 1], repeat=4)))  # (16, 4)
    f = np.where(tables[:, :, None] == np.arange(2), 0.9, 0.1)  # (16, 4, 2)
    pairs = list(product(range(4), range(2)))
    sets = np.array(list(product(range(len(pairs)), repeat=count)))  # (8^count, count)
    x, y = np.array(pairs)[sets].transpose(2, 0, 1)
    p_set = p_xy[x, y].prod(axis=1)
    frequencies = (x[:, :, None] == np.arange(4)).mean(axis=1)  # of each input in each training set
    losses = -np.log(f[:, x, y]).mean(axis=2)  # (16, sets)
    worlds = []
    for time in times:
        chosen = np.exp(-time * (losses - losses.min(axis=0)))
        joint = p_set * chosen / chosen.sum(axis=0)  # p(w, training set)
        p_w = joint.sum(axis=1)
        worlds.append((p_w, joint @ frequencies / p_w[:, None], f))
    return p_xy, worlds


def main() -> None:
    """Write reports/theorem/: terms.csv, the picture of them, a page."""
    times = np.linspace(0, 12, 49)
    p_xy, worlds = gibbs_worlds(times.tolist())
    table = pd.DataFrame([terms(p_xy, *world) for world in worlds])
    table.insert(0, "time", times)
    write_text(FOLDER / "terms.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6f"))
    figure = terms_figure(table)
    style.write({"terms": figure}, FOLDER)
    first, last = table.iloc[0], table.iloc[-1]
    line = (
        f"As training proceeds, L(w; x) rises from {abs(first['lautum']):.3f} to {last['lautum']:.3f} nats and the "
        f"test cross-entropy falls from {first['cross_entropy']:.2f} to {last['cross_entropy']:.2f}; the theorem holds "
        "at every time, and L stands in the classifier mismatch too."
    )
    caption = "Cross-entropy = mismatch + H(y|x) − L(w; x), at every time; in nats."
    print(
        page.write(
            FOLDER / "index.html",
            title="Theorem 1 of the paper in a finite world",
            question="What do the terms of Theorem 1 do as a network is trained?",
            line=line,
            card=page.join(page.parts().paragraphs([line]), page.picture(figure, "terms", line, caption)),
            sections=[Section("terms", "All terms", page.data_frame(table, caption), folded=True)],
            thumbnail="terms.png",
        )
    )


def terms_figure(table: pd.DataFrame) -> Figure:
    """The four terms, columns named as in `Terms`, against the column `time`."""
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    axes = figure.subplots()
    names = {"cross_entropy": "test cross-entropy", "mismatch": "classifier mismatch", "bayes": "Bayes error H(y|x)"}
    for (name, label), (colour, marker, line) in zip((names | {"lautum": "L(w; x)"}).items(), STYLES, strict=False):
        axes.plot(
            table["time"], table[name], color=colour, marker=marker, linestyle=line, markevery=8, ms=5, label=label
        )
    axes.set_xlabel("Training time (inverse temperature)")
    axes.set_ylabel("Nats")
    axes.set_title("Theorem 1 in a finite world:\ncross-entropy = mismatch + H(y|x) - L(w; x)", fontsize="medium")
    style.add_grid(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _log_normal(value, mean, sd):
    return -0.5 * np.log(2 * np.pi * sd**2) - (value - mean) ** 2 / (2 * sd**2)


if __name__ == "__main__":
    main()
