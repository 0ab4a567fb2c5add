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

L occurs in (1) twice: the mismatch contains it too, as E_w KL(p(x,y) || f(x,y|w)) = E_w E_x KL(p(y|x) || f(y|x,w)) +
L(w;x). So a larger L lowers the cross-entropy only where it does not raise the mismatch by as much; the theorem by
itself does not say that maximising L helps.
"""

from typing import NamedTuple

import numpy as np


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
